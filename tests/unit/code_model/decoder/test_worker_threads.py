"""Worker threads: the work is divided evenly, and their number changes nothing but the time."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from code_model.decoder.model import DecoderModel
from code_model.decoder.worker_threads import map_in_threads, partition
from code_model.language_model import ScoredIds
from prompts.form import Form


@given(st.lists(st.integers(2, 600), max_size=12), st.integers(1, 5))
def test_every_index_is_in_one_part_and_none_is_overloaded(
    lengths: list[int], workers: int
) -> None:
    parts = partition(lengths, workers)
    assert len(parts) == min(workers, len(lengths))
    assert sorted(index for part in parts for index in part) == list(range(len(lengths)))
    loads = [sum(lengths[index] for index in part) for part in parts]
    if loads:
        assert max(loads) - min(loads) <= max(lengths)


def test_results_come_in_order_whichever_thread_is_first() -> None:
    second_is_done = threading.Event()

    def work(part: int) -> int:
        if part == 0:
            assert second_is_done.wait(30)
        else:
            second_is_done.set()
        return part

    assert list(map_in_threads(work, [0, 1], 2)) == [0, 1]


def test_an_exception_of_a_thread_is_raised() -> None:
    def work(part: int) -> int:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 0"):
        list(map_in_threads(work, [0, 1, 2], 2))


def test_the_callers_number_of_threads_stays() -> None:
    before = torch.get_num_threads()
    assert set(map_in_threads(lambda part: torch.get_num_threads(), range(4), 4)) == {
        max(1, before // 4)
    }
    assert torch.get_num_threads() == before


def test_the_number_of_threads_does_not_change_scores(
    base: DecoderModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = [ScoredIds(list(range(3, 20 + n)), 2 + n % 5) for n in range(30)]
    scores = []
    for n_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n_threads: n)
        scores.append(np.concatenate(base.open().score(sequences)))
    np.testing.assert_allclose(*scores, rtol=1e-4)


@pytest.mark.parametrize("form", ["kv-nope", "embedding"])
def test_the_number_of_threads_does_not_change_a_step(
    base: DecoderModel, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    sequences = [list(range(3, 20 + n)) for n in range(4)]
    weights = [[0.3] * 14 + [1.0] * (2 + n) for n in range(4)]
    steps = []
    for n_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n_threads: n)
        embeddings = base.prompt_embeddings_of([0, 5, 6, 7], form).requires_grad_()
        loss = base.loss(base.prefix_of(embeddings, form), sequences, weights)
        loss.backward()
        steps.append((loss.item(), embeddings.grad))
    (loss, gradient), (other_loss, other_gradient) = steps
    assert gradient.abs().max() > 0
    assert loss == pytest.approx(other_loss, rel=1e-5)
    torch.testing.assert_close(gradient, other_gradient, atol=1e-3, rtol=1e-3)
