"""The delay before an automatic request, from typing speed, latency and feedback."""

import pytest

from completion.debouncer import Debouncer


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def debouncer(gap_s: float, latency_s: float, clock: Clock | None = None) -> Debouncer:
    """After enough keystrokes and answers for both averages to have settled."""
    result = Debouncer(clock or Clock())
    for _ in range(50):
        result.keystroke(gap_s)
        result.answered(latency_s)
    return result


@pytest.mark.parametrize(
    ("gap_s", "latency_s", "expected"),
    [
        (0.12, 0.02, 0.0),  # within half a gap
        (0.12, 0.1, 0.04),
        (0.12, 2.0, 0.12),  # at most one gap
    ],
)
def test_delay_follows_typing_speed_and_latency(gap_s, latency_s, expected) -> None:
    assert debouncer(gap_s, latency_s).delay_s() == pytest.approx(expected, rel=0.01)


def test_a_pause_is_not_typing() -> None:
    result = debouncer(0.12, 2.0)
    result.keystroke(30.0)
    assert result.delay_s() == pytest.approx(0.12, rel=0.01)


def test_feedback_changes_the_delay_and_decays() -> None:
    clock = Clock()
    result = debouncer(0.12, 2.0, clock)
    result.rejected()
    assert result.delay_s() == pytest.approx(1.5 * 0.12, rel=0.01)
    clock.now = 10_000.0
    assert result.delay_s() == pytest.approx(0.12, rel=0.01)
    for _ in range(9):
        result.accepted()
    assert result.delay_s() == pytest.approx(0.5 * 0.12, rel=0.01)


def test_backoff_waits_for_a_pause() -> None:
    assert debouncer(0.12, 0.02).delay_s(backoff=True) == pytest.approx(0.24, rel=0.01)
    assert debouncer(0.9, 0.02).delay_s(backoff=True) == 0.4
