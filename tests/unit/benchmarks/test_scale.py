"""The simulation counts right, and the whole benchmark runs in a short form."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import queue_simulation, scale, scale_plot, typing_arrivals, typing_sessions
from benchmarks.queue_simulation import Load, Server, simulate
from benchmarks.scale import MeasuredCost
from benchmarks.typing_arrivals import Call, TypingSession, from_json, to_json
from tests.conftest import TEXT

SECOND_A_STEP = MeasuredCost(step_s=1.0, token_s=0.0)
ALONE = Server(SECOND_A_STEP, batch=1, chunk=64, contexts=100)
LOAD = Load(people=1, seconds=1000.0)


@pytest.fixture(autouse=True)
def _from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_simulation, "WARM_UP_S", 0.0)


def one_call(session_s: float = 100.0, **changes: float) -> list[TypingSession]:
    """A request in a session, half a second behind its keystroke."""
    call = replace(Call(10.0, 10.5, input=100, reused=0, new=3), **changes)
    return [TypingSession(session_s, 20, [call])]


def test_a_request_takes_its_steps() -> None:
    """Two chunks of input, of which the last gives the first of three tokens."""
    waits = simulate(ALONE, one_call(), LOAD)
    assert len(waits.sent_s) in (9, 10)
    assert waits.sent_s == pytest.approx([4.0] * len(waits.sent_s))
    assert waits.typed_s == pytest.approx([4.5] * len(waits.sent_s))
    assert waits.in_time == len(waits.sent_s)


def test_what_is_cached_is_not_computed_again_by_whole_blocks() -> None:
    others = simulate(ALONE, one_call(reused=40), LOAD).sent_s
    assert others == pytest.approx([4.0] * len(others)), "100 - 32 tokens are two chunks"
    others = simulate(ALONE, one_call(reused=50), LOAD).sent_s
    assert others == pytest.approx([3.0] * len(others)), "100 - 48 tokens are one"
    others = simulate(ALONE, one_call(reused=50), replace(LOAD, affinity=False)).sent_s
    assert others == pytest.approx([4.0] * len(others))
    no_room = replace(ALONE, contexts=0)
    others = simulate(no_room, one_call(reused=50), LOAD).sent_s
    assert others == pytest.approx([4.0] * len(others))


def test_who_types_on_gives_up() -> None:
    calls = [Call(0.0, 0.0, 10, 0, 5), Call(1.0, 2.5, 10, 0, 1)]
    waits = simulate(ALONE, [TypingSession(50.0, 9, calls)], LOAD)
    assert sorted(set(waits.sent_s)) == pytest.approx([1.5, 2.5])
    assert waits.in_time == len(waits.sent_s) // 2
    assert waits.summary()["in_time"] == pytest.approx(0.5, abs=0.05)


def test_a_batch_shares_its_steps_and_one_text_at_a_time_does_not() -> None:
    """Twenty people ask for five seconds of work every half minute."""
    often = [TypingSession(30.0, 9, [Call(0.0, 0.0, 10, 0, 5)])]
    people = replace(LOAD, people=20, seconds=300.0)
    alone, batch = (
        simulate(replace(ALONE, batch=size), often, people).summary() for size in (1, 32)
    )
    assert batch["sent_p90_ms"] < 8_000
    assert alone["sent_p90_ms"] > 3 * batch["sent_p90_ms"]
    assert simulate(ALONE, often, people) == simulate(ALONE, often, people)


def test_a_step_reads_the_weights_or_computes_the_inputs() -> None:
    """7.62 billion weights of two bytes at 0.7 of 300 GB/s; a long input at 0.5 of 121 TFLOP/s."""
    cost = scale.Roofline(scale.MODELS[1], scale.GPUS[0])
    assert cost.seconds(0, 1, 0) == pytest.approx(0.003 + 15.24 / 210)
    assert cost.seconds(2048, 0, 2048) == pytest.approx(0.003 + 2 * 7.62e9 * 2048 / 60.5e12)


def test_texts_of_a_larger_model_are_longer() -> None:
    longer = simulate(ALONE, one_call(), replace(LOAD, new_tokens=7)).sent_s
    assert longer == pytest.approx([8.0] * len(longer))


def test_the_recording_is_what_the_figures_are_made_of() -> None:
    recorded = json.loads(typing_arrivals.RESULTS.read_text(encoding="utf-8"))
    for name in ("fast", "server"):
        sessions = from_json(recorded[name])
        assert to_json(sessions) == recorded[name]
        for session in sessions:
            for call in session.calls:
                assert 0 <= call.key_s <= call.sent_s
                assert 0 <= call.reused <= call.input
    waiting, fast = (scale.asked(from_json(recorded[name])) for name in ("server", "fast"))
    assert waiting["requests_per_s"] < fast["requests_per_s"]


async def test_a_short_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAP_S", "PAUSE_S", "NOTICE_S", "READ_S"):
        monkeypatch.setattr(typing_sessions, name, 0.02)
    monkeypatch.setattr(typing_sessions, "KEYSTROKES", 12)
    (session,) = await asyncio.to_thread(typing_arrivals.record, {"first.py": TEXT})
    assert session.keystrokes >= 12
    assert session.calls
    assert session.calls[0].reused == 0


def test_a_short_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scale, "random_model", lambda model, shape: model)
    monkeypatch.setattr(scale, "PEOPLE", (1, 4))
    monkeypatch.setattr(scale, "GPUS", scale.GPUS[1:2])
    recorded = json.loads(typing_arrivals.RESULTS.read_text(encoding="utf-8"))
    fast, behind = (from_json(recorded[name][:3]) for name in ("fast", "server"))
    result = scale.run(fast, behind, seconds=10.0, repeats=3)
    assert result["capacity"].keys() == result["curves"].keys()
    assert all(points[0]["people"] == 1 for points in result["curves"].values())
    assert [each["developers"] for each in result["needs"]] == list(scale.DEVELOPERS)
    (tmp_path / "scale.json").write_text(json.dumps(result))
    scale_plot.draw(tmp_path / "scale.json", tmp_path / "images" / "scale.png")
    assert (tmp_path / "images" / "scale.png").read_bytes().startswith(b"\x89PNG")
