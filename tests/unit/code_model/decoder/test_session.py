"""The engine: reuse, several documents, drafts, limits, stopping and cancelling."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_model.cancel import Cancel
from code_model.decoder import compiler
from code_model.decoder import session as engine_module
from code_model.decoder.model import DecoderModel
from code_model.decoder.native import NativeForward
from code_model.decoder.session import (
    MIN_SWAP_TOKENS,
    PREFILL_CHUNK,
)
from code_model.language_model import ContextTooLongError, ScoredIds
from code_model.prompt_lookup import PromptLookup

IDS = [7, 3, 250, 14, 9, 9, 31, 102]


def test_only_what_changed_is_prefilled(base: DecoderModel) -> None:
    engine = base.open()
    assert engine.generate(IDS, max_new_tokens=3).prefilled == len(IDS)
    assert engine.generate([*IDS, 44], max_new_tokens=3).prefilled <= 2
    assert engine.generate([*IDS[:5], 60, 61], max_new_tokens=3).prefilled == 2


def test_the_prefix_stays_resident(base: DecoderModel) -> None:
    engine = base.open()
    before = engine._cache.keys[:, :, : engine.num_virtual_tokens].clone()
    for ids in (IDS, IDS[::-1], IDS[:2]):
        engine.generate(ids, max_new_tokens=3)
    assert engine._cache.keys[:, :, : engine.num_virtual_tokens].equal(before)


def test_a_cancel_is_seen_at_every_token(base: DecoderModel) -> None:
    calls = 0

    def cancelled() -> bool:
        nonlocal calls
        calls += 1
        return calls > 4  # once before the prefill, then at each new token

    answer = base.open().generate(IDS, max_new_tokens=50, cancelled=cancelled)
    assert answer.finish_reason == "cancelled"
    assert len(answer.ids) == 3


class SeenOnlyWithinSteps(Cancel):
    """A cancel flag that the loop between steps always reads as false."""

    def __call__(self) -> bool:
        return False


def test_a_cancel_is_seen_within_a_step(library, base: DecoderModel) -> None:
    own = replace(base)
    own.forward.native = NativeForward(own.llama, library)
    engine, cancel = own.open(), SeenOnlyWithinSteps()
    wanted = engine.generate(IDS, max_new_tokens=8).ids

    def stop(text: str) -> bool:
        cancel.set()
        return False

    answer = engine.generate(IDS, max_new_tokens=8, stop=stop, cancelled=cancel)
    assert answer.finish_reason == "cancelled"
    assert 0 < len(answer.ids) < 8
    assert engine.generate(IDS, max_new_tokens=8).ids == wanted


def test_a_cancel_is_seen_between_chunks_of_a_long_prefill(base: DecoderModel) -> None:
    engine = base.open()
    answers = iter([False, True])
    long = [5 + n % 200 for n in range(3 * PREFILL_CHUNK)]
    answer = engine.generate(long, max_new_tokens=5, cancelled=lambda: next(answers))
    assert (answer.finish_reason, answer.prefilled) == ("cancelled", PREFILL_CHUNK)
    # what was computed is not lost, and the answer is still right
    again = engine.generate(long, max_new_tokens=5)
    assert again.prefilled == 2 * PREFILL_CHUNK
    assert again.ids == base.open().generate(long, max_new_tokens=5).ids


def test_stop_sees_the_text_so_far(base: DecoderModel) -> None:
    seen: list[str] = []
    answer = base.open().generate(
        IDS, max_new_tokens=50, stop=lambda text: seen.append(text) or len(seen) == 2
    )
    assert answer.finish_reason == "stop"
    assert answer.text == seen[-1] == base.tokenizer.decode(answer.ids)


def test_length_is_a_limit(base: DecoderModel) -> None:
    longer = base.open().generate(IDS, max_new_tokens=5)
    answer = base.open().generate(IDS, max_new_tokens=4)
    assert len(longer.ids) == 5
    assert answer.ids == longer.ids[:4]
    assert answer.finish_reason == "length"
    assert len(answer.logprobs) == 4
    assert all(logprob < 0 for logprob in answer.logprobs)
    nothing = base.open().generate(IDS, max_new_tokens=0)
    assert (nothing.ids, nothing.finish_reason) == ((), "length")


def test_too_long_and_empty_are_refused(base: DecoderModel) -> None:
    engine = base.open()
    with pytest.raises(ContextTooLongError, match="give a smaller context"):
        engine.generate([5] * engine.room(10) + [5], max_new_tokens=10)
    with pytest.raises(ValueError, match="at least one id"):
        engine.generate([], max_new_tokens=10)
    assert engine.generate([5] * engine.room(10), max_new_tokens=10).prefilled


@pytest.fixture(params=["torch", "native"])
def either(request: pytest.FixtureRequest, base: DecoderModel) -> DecoderModel:
    """The model with its step by torch, and compiled."""
    own = replace(base)
    own.forward.native = None
    if request.param == "native":
        if compiler.find_compiler() is None:
            pytest.skip("no C++ compiler")
        own.forward.native = NativeForward(own.llama, request.getfixturevalue("library"))
    return own


def test_drafts_change_nothing_but_the_number_of_steps(either: DecoderModel) -> None:
    """Greedy output compares id by id, over requests whose loops the look-up finds."""
    drafting, plain = either.open(), either.open()
    plain.speculate = False
    saved = 0
    for start in range(24):
        ids = [5 + (start * 31 + n * n) % 290 for n in range(20)]
        with_drafts = drafting.generate(ids, max_new_tokens=40)
        without = plain.generate(ids, max_new_tokens=40)
        assert with_drafts.ids == without.ids
        assert with_drafts.text == without.text
        assert with_drafts.finish_reason == without.finish_reason
        # torch adds up in another order, and float16 keys may then round the other way
        assert with_drafts.logprobs == pytest.approx(without.logprobs, abs=5e-3)
        assert len(with_drafts.ids) <= without.steps
        saved += without.steps - with_drafts.steps
    assert saved > 0


def test_drafts_respect_stop_and_length(base: DecoderModel) -> None:
    """Each text is seen once and none is skipped, though one step may bring several tokens."""
    for limit in range(1, 12):
        seen: list[list[str]] = [[], []]
        for texts, speculate in zip(seen, (True, False), strict=True):
            engine = base.open()
            engine.speculate = speculate
            answer = engine.generate(
                IDS * 3,
                max_new_tokens=limit,
                stop=lambda text, texts=texts: texts.append(text) or len(text) > 30,
            )
            assert 0 < len(answer.ids) <= limit
        assert seen[0] == seen[1] != []


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 6))
def test_a_draft_is_what_followed_before(ids: list[int], limit: int) -> None:
    draft = PromptLookup(ids).draft(limit)
    earlier = [n for n in range(len(ids) - 2) if ids[n : n + 2] == ids[-2:]]
    assert bool(draft) == bool(earlier and limit)
    assert len(draft) <= limit
    if draft:
        assert any(ids[n + 2 : n + 2 + len(draft)] == draft for n in earlier)
    grown = PromptLookup(ids[: len(ids) // 2])
    grown.add(ids[len(ids) // 2 :])
    assert grown.draft(limit) == draft


def test_documents_keep_their_own_caches(base: DecoderModel) -> None:
    """Going back to a document prefills its last token only, and the answer is a fresh engine's."""
    engine = base.open()
    documents = [[5 + (n * step) % 290 for n in range(2 * MIN_SWAP_TOKENS)] for step in (1, 7, 11)]
    for ids in documents:
        assert engine.generate(ids, max_new_tokens=3).prefilled >= MIN_SWAP_TOKENS
    for ids in [*documents, *documents[::-1]]:
        again = engine.generate(ids, max_new_tokens=3)
        assert again.prefilled == 1
        assert again.ids == base.open().generate(ids, max_new_tokens=3).ids


def test_swapped_out_documents_stay_within_their_bound(
    base: DecoderModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = base.open()
    documents = [[5 + (n * step) % 290 for n in range(2 * MIN_SWAP_TOKENS)] for step in range(1, 9)]
    engine.generate(documents[0], max_new_tokens=1)
    engine.generate(documents[1], max_new_tokens=1)
    (swapped_out,) = engine._swapped_out
    monkeypatch.setattr(engine_module, "MAX_SWAPPED_BYTES", 3 * swapped_out.nbytes + 1)
    for ids in documents[2:]:
        engine.generate(ids, max_new_tokens=1)
    assert len(engine._swapped_out) == 3
    assert engine.generate(documents[-2], max_new_tokens=1).prefilled == 1
    assert engine.generate(documents[0], max_new_tokens=1).prefilled > MIN_SWAP_TOKENS


def test_warming_leaves_one_token_to_prefill(base: DecoderModel) -> None:
    engine = base.open()
    engine.prefill(IDS)
    assert engine.generate(IDS, max_new_tokens=3).prefilled == 1
    long = [5 + n % 200 for n in range(3 * PREFILL_CHUNK)]
    asked = iter([False, True])
    engine.prefill(long, cancelled=lambda: next(asked))
    assert engine.generate(long, max_new_tokens=1).prefilled == 2 * PREFILL_CHUNK


def test_typed_text_is_spelled_at_its_conditional_probability(base: DecoderModel) -> None:
    """The joint probability is that among the tokens that spell what is typed."""
    engine = base.open()
    typed = " re"
    answer = engine.generate(IDS, max_new_tokens=6, must_spell=typed)
    assert base.tokenizer.decode(answer.ids) == typed + answer.text
    spelling = base.tokenizer.healing.spelling(typed)
    before: list[int] = []
    for token, logprob in zip(answer.ids, answer.logprobs, strict=True):
        allowed = spelling.allowed() or range(base.llama.config.vocab_size)
        nats = engine.score([ScoredIds([*IDS, *before, id_], 1) for id_ in allowed])
        likely = {id_: math.exp(-nats) for id_, (nats,) in zip(allowed, nats, strict=True)}
        assert likely[token] == pytest.approx(max(likely.values()), rel=1e-2)
        assert math.exp(logprob) == pytest.approx(likely[token] / sum(likely.values()), rel=1e-2)
        spelling.accept(token)
        before.append(token)
    assert spelling.allowed() is None
