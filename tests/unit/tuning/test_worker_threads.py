"""Worker threads: the work is divided evenly, and their number changes nothing but the time."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from code_model.decoder.llama import PrefixKV
from code_model.decoder.soft_prompt import kv_of_ids
from code_model.loading import BaseModel
from prompts.form import Form
from tuning.config import TuningConfig
from tuning.evaluate import middle_nats
from tuning.examples import Example
from tuning.objective import step_gradient
from tuning.prefix import initial_prefix
from tuning.worker_threads import map_in_threads, partition


@given(st.lists(st.integers(2, 600), max_size=12), st.integers(1, 5))
def test_every_example_is_in_one_part_and_none_is_overloaded(
    lengths: list[int], n_parts: int
) -> None:
    examples = [Example([0] * length, 1) for length in lengths]
    parts = partition(examples, n_parts)
    assert len(parts) == min(n_parts, len(examples))
    assert sorted(id(example) for part in parts for example in part) == sorted(map(id, examples))
    loads = [sum(len(example.ids) for example in part) for part in parts]
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


def test_the_number_of_threads_does_not_change_held_out_losses(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = [Example(list(range(3, 20 + n)), 2 + n % 5) for n in range(30)]
    prefix = PrefixKV(kv_of_ids(base.model, [0, 5, 6]))
    nats = []
    for n_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n_threads: n)
        nats.append(middle_nats(base.model, prefix, examples))
    np.testing.assert_allclose(*nats, rtol=1e-4)


@pytest.mark.parametrize("form", ["kv-nope", "embedding"])
def test_the_number_of_threads_does_not_change_a_step(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    examples = [Example(list(range(3, 20 + n)), 2 + n) for n in range(4)]
    prefix = initial_prefix(base, form, [0, 5, 6, 7])
    steps = []
    for n_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n_threads: n)
        steps.append(step_gradient(base.model, prefix, examples, TuningConfig()))
    (loss, weight, gradient), (other_loss, other_weight, other_gradient) = steps
    assert gradient.abs().max() > 0
    assert (loss, weight) == pytest.approx((other_loss, other_weight), rel=1e-5)
    torch.testing.assert_close(gradient, other_gradient, atol=1e-3, rtol=1e-3)
