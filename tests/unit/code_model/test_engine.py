"""The engine: reuse, limits, stopping and cancelling."""

import pytest

from code_model.engine import PREFILL_CHUNK, ContextTooLongError, Engine
from code_model.loading import BaseModel

IDS = [7, 3, 250, 14, 9, 9, 31, 102]


def test_only_what_changed_is_prefilled(base: BaseModel) -> None:
    engine = Engine(base)
    assert engine.generate(IDS, max_new_tokens=3).prefilled == len(IDS)
    assert engine.generate([*IDS, 44], max_new_tokens=3).prefilled <= 2
    assert engine.generate([*IDS[:5], 60, 61], max_new_tokens=3).prefilled == 2


def test_the_prefix_stays_resident(base: BaseModel) -> None:
    engine = Engine(base)
    before = engine._cache.keys[:, :, : engine.prefix_tokens].clone()
    for ids in (IDS, IDS[::-1], IDS[:2]):
        engine.generate(ids, max_new_tokens=3)
    assert engine._cache.keys[:, :, : engine.prefix_tokens].equal(before)


def test_a_cancel_is_seen_at_every_token(base: BaseModel) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 4  # once before the prefill, then at each new token

    answer = Engine(base).generate(IDS, max_new_tokens=50, cancelled=cancelled)
    assert answer.finish_reason == "cancelled"
    assert len(answer.ids) == 3


def test_a_cancel_is_seen_between_chunks_of_a_long_prefill(base: BaseModel) -> None:
    engine = Engine(base)
    answers = iter([False, True])
    long = [5 + n % 200 for n in range(3 * PREFILL_CHUNK)]
    answer = engine.generate(long, max_new_tokens=5, cancelled=lambda: next(answers))
    assert (answer.finish_reason, answer.prefilled) == ("cancelled", PREFILL_CHUNK)
    # what was computed is not lost, and the answer is still right
    again = engine.generate(long, max_new_tokens=5)
    assert again.prefilled == 2 * PREFILL_CHUNK
    assert again.ids == Engine(base).generate(long, max_new_tokens=5).ids


def test_stop_sees_the_text_so_far(base: BaseModel) -> None:
    seen: list[str] = []
    answer = Engine(base).generate(
        IDS, max_new_tokens=50, stop=lambda text: seen.append(text) or len(seen) == 2
    )
    assert answer.finish_reason == "stop"
    assert answer.text == seen[-1] == base.tokenizer.decode(answer.ids)


def test_length_is_a_limit(base: BaseModel) -> None:
    answer = Engine(base).generate(IDS, max_new_tokens=4)
    assert len(answer.ids) <= 4
    assert len(answer.logprobs) == len(answer.ids)
    assert all(one <= 0 for one in answer.logprobs)


def test_too_long_and_empty_are_refused(base: BaseModel) -> None:
    engine = Engine(base)
    with pytest.raises(ContextTooLongError, match="give a smaller context"):
        engine.generate([5] * engine.room(10) + [5], max_new_tokens=10)
    with pytest.raises(ValueError, match="at least one id"):
        engine.generate([], max_new_tokens=10)
    assert engine.generate([5] * engine.room(10), max_new_tokens=10).prefilled
