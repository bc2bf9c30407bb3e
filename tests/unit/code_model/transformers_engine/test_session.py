"""The session: reuse, drafts, limits, cancelling, and memory that runs out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from code_model.language_model import ContextTooLongError
from code_model.model_folder import read_model_folder
from code_model.out_of_memory import OutOfModelMemoryError
from code_model.transformers_engine.kv_cache import BLOCK, serving_cache
from code_model.transformers_engine.loading import load_transformers
from code_model.transformers_engine.model import TransformersModel
from code_model.transformers_engine.network import Network
from code_model.transformers_engine.session import PREFILL_CHUNK

IDS = [7, 3, 250, 14, 9, 9, 31, 102]
LONG = [5 + n % 200 for n in range(3 * PREFILL_CHUNK["cpu"])]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> TransformersModel:
    return load_transformers(read_model_folder(tiny_model), device="cpu", precision="float32")


def test_only_what_changed_is_prefilled(model: TransformersModel) -> None:
    session = model.open()
    assert session.generate(IDS, max_new_tokens=3).prefilled == len(IDS)
    assert session.generate([*IDS, 44], max_new_tokens=3).prefilled <= 2
    assert session.generate([*IDS[:5], 60, 61], max_new_tokens=3).prefilled == 2
    session.prefill(IDS)
    assert session.generate(IDS, max_new_tokens=3).prefilled == 1


def test_a_score_leaves_the_cache_as_it_is(model: TransformersModel) -> None:
    session = model.open()
    session.prefill(IDS)
    before = session.score([])
    assert before == []
    assert session.generate(IDS, max_new_tokens=1).prefilled == 1


def test_a_cancel_is_seen_at_every_token(model: TransformersModel) -> None:
    calls = 0

    def cancelled() -> bool:
        nonlocal calls
        calls += 1
        return calls > 4  # once before the prefill, then at each new token

    session = model.open()
    answer = session.generate(IDS, max_new_tokens=50, cancelled=cancelled)
    assert answer.finish_reason == "cancelled"
    assert len(answer.ids) == 3


def test_a_cancel_is_seen_between_chunks_of_a_long_prefill(model: TransformersModel) -> None:
    session = model.open()
    answers = iter([False, True])
    answer = session.generate(LONG, max_new_tokens=5, cancelled=lambda: next(answers))
    assert (answer.finish_reason, answer.prefilled) == ("cancelled", PREFILL_CHUNK["cpu"])
    again = session.generate(LONG, max_new_tokens=5)
    assert again.prefilled == 2 * PREFILL_CHUNK["cpu"]
    assert again.ids == model.open().generate(LONG, max_new_tokens=5).ids


def test_drafts_change_nothing_but_the_number_of_steps(model: TransformersModel) -> None:
    drafting, plain = model.open(), model.open()
    drafting.speculate = True
    assert not plain.speculate  # on the CPU
    saved = 0
    for start in range(4):
        ids = [5 + (start * 31 + n * n) % 290 for n in range(20)]
        with_drafts = drafting.generate(ids, max_new_tokens=40)
        without = plain.generate(ids, max_new_tokens=40)
        assert with_drafts.ids == without.ids
        assert with_drafts.logprobs == pytest.approx(without.logprobs, abs=1e-3)
        saved += without.steps - with_drafts.steps
    assert saved > 0


def test_only_allowed_ids_are_chosen(model: TransformersModel) -> None:
    session = model.open()
    session.prefill(IDS)
    (first,), (logprob,) = session._step(IDS[-1:], [], {60, 61}, lambda: False)
    assert first in (60, 61)
    assert -1.0 < logprob <= 0.0


def test_too_long_and_empty_are_refused(model: TransformersModel) -> None:
    session = model.open()
    with pytest.raises(ContextTooLongError, match="give a smaller context"):
        session.generate([5] * session.room(10) + [5], max_new_tokens=10)
    with pytest.raises(ValueError, match="at least one id"):
        session.generate([], max_new_tokens=10)


def test_a_new_token_is_written_behind_the_others_without_a_copy() -> None:
    cache = serving_cache(1)
    states = torch.randn(1, 2, 3, 4)
    cache.update(states, states, 0)
    place = cache.layers[0].keys.data_ptr()
    cache.crop(-1)
    for _ in range(BLOCK - 3):
        keys, _ = cache.update(states[:, :, :1], states[:, :, 1:2], 0)
    assert keys.data_ptr() == place
    assert keys[:, :, :2].equal(states[:, :, :2])
    grown, _ = cache.update(states, states, 0)
    grown, _ = cache.update(states, states, 0)
    assert grown.data_ptr() != place
    assert grown[:, :, :2].equal(states[:, :, :2])


@pytest.mark.parametrize("failing_call", [0, 2, 5])
def test_a_session_survives_that_memory_runs_out(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    """In the prefill, and in the middle of a decode, when some layers have the token already."""
    session = model.open()
    wanted = model.open().generate(IDS, max_new_tokens=8).ids
    hidden: Callable[..., torch.Tensor] = Network.hidden
    calls = 0

    def failing(*args: object, **kwargs: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        computed = hidden(*args, **kwargs)
        if calls == failing_call + 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return computed

    monkeypatch.setattr(Network, "hidden", failing)
    with pytest.raises(OutOfModelMemoryError, match=r"ran out of memory .* device cpu") as raised:
        session.generate(IDS, max_new_tokens=8)
    assert "\n" not in str(raised.value)
    monkeypatch.undo()
    again = session.generate(IDS, max_new_tokens=8)
    assert (again.ids, again.prefilled) == (wanted, len(IDS))


def test_a_session_for_which_there_is_no_memory(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: object, **kwargs: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Network, "hidden", failing)
    with pytest.raises(OutOfModelMemoryError, match="ran out of memory"):
        model.open()


def test_other_errors_are_not_hidden_and_cost_the_cache(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = model.open()
    session.prefill(IDS)

    def failing(*args: object, **kwargs: object) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Network, "hidden", failing)
    with pytest.raises(RuntimeError, match="shapes"):
        session.generate([*IDS, 9], max_new_tokens=2)
    monkeypatch.undo()
    assert session.generate(IDS, max_new_tokens=2).prefilled == len(IDS)
