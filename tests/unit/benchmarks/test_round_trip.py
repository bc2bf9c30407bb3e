"""The benchmark in a short form: a real server process, few keystrokes."""

from benchmarks.round_trip import echoes, round_trips, summary


async def test_every_keystroke_has_a_round_trip() -> None:
    times = await round_trips(5)
    assert len(times) == 5
    assert min(times) > 0


async def test_echoes() -> None:
    assert len(await echoes(5)) == 5


def test_the_summary_leaves_out_the_warm_up() -> None:
    assert summary([1000.0, *([2.0] * 9)]) == {"p50_ms": 2.0, "p90_ms": 2.0}
