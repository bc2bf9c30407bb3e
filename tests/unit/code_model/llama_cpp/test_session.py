"""The session: reuse, drafts, limits, cancelling, and scoring beside the document."""

import math
from collections.abc import Callable
from contextlib import suppress

import pytest

from code_model.cancel import Cancel, StepCancelledError
from code_model.language_model import ContextTooLongError, ScoredIds
from code_model.llama_cpp.context import BATCH
from code_model.llama_cpp.session import LlamaCppSession
from code_model.memory import BYTES, kv_bytes_per_token
from code_model.model_folder import read_model_folder
from code_model.out_of_memory import OutOfModelMemoryError
from tests.unit.code_model.llama_cpp.conftest import Pair
from tests.unit.code_model.llama_cpp.test_equalities import IDS, prompt_for

pytestmark = pytest.mark.parametrize("pair", ["llama float16"], indirect=True)


def test_only_what_changed_is_prefilled(pair: Pair) -> None:
    session = pair.llama_cpp.open()
    assert session.generate(IDS, max_new_tokens=3).prefilled == len(IDS)
    assert session.generate([*IDS, 44], max_new_tokens=3).prefilled <= 2
    assert session.generate([*IDS[:5], 60, 61], max_new_tokens=3).prefilled == 2


def test_reuse_changes_nothing(pair: Pair) -> None:
    prompt = prompt_for(pair, "kv", [4, 5, 6])
    session = pair.llama_cpp.open(prompt)
    for ids in (IDS, [*IDS, 7], IDS[:4], IDS[::-1], IDS):
        kept = session.generate(ids, max_new_tokens=8)
        fresh = pair.llama_cpp.open(prompt).generate(ids, max_new_tokens=8)
        assert kept.ids == fresh.ids
        assert kept.logprobs == pytest.approx(fresh.logprobs, abs=pair.tolerance)


def test_a_session_keeps_the_bytes_that_its_model_says(pair: Pair) -> None:
    model, session = pair.llama_cpp, pair.llama_cpp.open()
    session.prefill(IDS)
    config = read_model_folder(model.folder).config
    memory = model.cache_memory
    cached = session.num_virtual_tokens + len(IDS) - 1
    expected = cached * (kv_bytes_per_token(config, BYTES[memory.precision]) or 0)
    assert expected < len(session._cache.state()) < expected + 20 * cached
    assert model.weights.api.llama_n_ctx(session._cache.pointer) == memory.reserved


def test_drafts_change_nothing(pair: Pair) -> None:
    drafting, plain = pair.llama_cpp.open(), pair.llama_cpp.open()
    plain.speculate = False
    ids = [*IDS, *IDS, *IDS]
    first = plain.generate(ids, max_new_tokens=30)
    for _ in range(2):  # the second time, the whole answer is drafted
        second = drafting.generate(ids, max_new_tokens=30)
        assert second.ids == first.ids
        assert second.logprobs == pytest.approx(first.logprobs, abs=pair.tolerance)
    assert second.steps < first.steps


def test_only_permitted_ids_are_chosen(pair: Pair) -> None:
    session = pair.llama_cpp.open()
    session.prefill(IDS)
    (id_,), (logprob,) = session._step(IDS[-1:], [], [33, 44], lambda: False)
    assert id_ in {33, 44}
    assert math.log(0.5) <= logprob < 0


def test_a_pass_that_fails_says_so_and_the_next_one_is_right(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = pair.llama_cpp.open()
    expected = session.generate(IDS, max_new_tokens=3).ids
    api = pair.llama_cpp.weights.api
    with monkeypatch.context() as patched:
        patched.setattr(api, "llama_decode", lambda context, batch: -2)
        with pytest.raises(OutOfModelMemoryError, match=r"code -2.*use a smaller model"):
            session.generate([*IDS, 44], max_new_tokens=3)
    assert session.generate(IDS, max_new_tokens=3).ids == expected
    monkeypatch.setattr(api, "llama_init_from_model", lambda *arguments: None)
    with pytest.raises(OutOfModelMemoryError, match="no memory for a cache"):
        pair.llama_cpp.open()


def test_scoring_leaves_the_document(pair: Pair) -> None:
    session = pair.llama_cpp.open(prompt_for(pair, "kv", [4, 5, 6]))
    session.generate(IDS, max_new_tokens=3)
    long = [n % 300 for n in range(2 * BATCH + 5)]
    (many,) = session.score([ScoredIds(long, len(long) - 1)])
    (few,) = session.score([ScoredIds(long, 3)])
    assert few == pytest.approx(many[-3:], abs=1e-4)
    assert session.generate([*IDS, 44], max_new_tokens=3).prefilled <= 2


def test_scoring_what_does_not_fit_beside_the_document(pair: Pair) -> None:
    session = pair.llama_cpp.open()
    ids = [n % 300 for n in range(400)]
    session.prefill(ids)
    (nats,) = session.score([ScoredIds(ids, 10)])
    (alone,) = pair.llama_cpp.open().score([ScoredIds(ids, 10)])
    assert nats == pytest.approx(alone, abs=1e-4)
    assert session.generate(IDS, max_new_tokens=3).ids  # and goes on


def test_a_cancel_is_seen_at_every_token(pair: Pair) -> None:
    calls = 0

    def cancelled() -> bool:
        nonlocal calls
        calls += 1
        return calls > 4  # once before the prefill, then at each new token

    session = pair.llama_cpp.open()
    session.speculate = False
    answer = session.generate(IDS, max_new_tokens=50, cancelled=cancelled)
    assert answer.finish_reason == "cancelled"
    assert len(answer.ids) == 3


class SeenOnlyWithinSteps(Cancel):
    """A cancel flag that the loop between passes always reads as false."""

    def __call__(self) -> bool:
        return False


@pytest.mark.parametrize(
    "use",
    [
        lambda session, cancel: session.generate(IDS, max_new_tokens=5, cancelled=cancel),
        lambda session, cancel: session.prefill(IDS, cancel),
        lambda session, cancel: session.score([ScoredIds(IDS, 3)], cancel),
    ],
)
def test_a_cancel_is_seen_within_a_pass(
    pair: Pair, use: Callable[[LlamaCppSession, Cancel], object]
) -> None:
    session = pair.llama_cpp.open()
    cancel = SeenOnlyWithinSteps()
    cancel.set()
    with suppress(StepCancelledError):
        use(session, cancel)
    assert session._cached_ids == []
    expected = pair.llama_cpp.open().generate(IDS, max_new_tokens=5)
    assert session.generate(IDS, max_new_tokens=5).ids == expected.ids


def test_what_does_not_fit_is_refused(pair: Pair) -> None:
    session = pair.llama_cpp.open()
    assert session.room(12) == 512 - session.num_virtual_tokens - 12
    with pytest.raises(ContextTooLongError):
        session.generate([5] * 505, max_new_tokens=20)
    with pytest.raises(ValueError, match="at least one id"):
        session.generate([], max_new_tokens=3)
    full = session.generate([5] * session.room(2), max_new_tokens=2)
    assert full.finish_reason in {"length", "end"}
