"""Debouncing: how long an automatic request waits for the next keystroke."""

from collections.abc import Callable

MAX_DELAY_S = 0.4
FEEDBACK_DECAY_S = 600.0
"""Time after which an acceptance or rejection no longer changes the delay."""
PAUSE_S = 1.0
"""A longer gap is a pause, not part of typing."""
BACKOFF_GAPS = 2.0
"""Delay during back-off, in typical gaps between keystrokes."""


class Debouncer:
    """Delays a request while its answer would arrive after the next keystroke.

    The delay is the typical latency less half of the typical gap between keystrokes, at most one
    gap: a model that answers within half a gap is asked at once. Rejections lengthen the delay,
    acceptances shorten it. Both typical values are exponential moving averages.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._gap_s = 0.2
        self._latency_s = 0.05
        self._feedback = 1.0
        self._feedback_time = clock()

    def keystroke(self, gap_s: float) -> None:
        """Record the gap before a keystroke."""
        if gap_s < PAUSE_S:
            self._gap_s += 0.15 * (gap_s - self._gap_s)

    def answered(self, latency_s: float) -> None:
        """Record how long the model took for an answer."""
        self._latency_s += 0.25 * (latency_s - self._latency_s)

    def accepted(self) -> None:
        """Record that a suggestion was accepted."""
        self._add_feedback(0.8)

    def rejected(self) -> None:
        """Record that a suggestion was dismissed."""
        self._add_feedback(1.5)

    def delay_s(self, *, backoff: bool = False) -> float:
        """Seconds to wait for another keystroke; during `backoff`, until the user pauses."""
        lateness = max(0.0, min(self._latency_s - self._gap_s / 2, self._gap_s))
        delay = lateness * self._decayed_feedback()
        return min(MAX_DELAY_S, max(delay, BACKOFF_GAPS * self._gap_s if backoff else 0.0))

    def _add_feedback(self, factor: float) -> None:
        self._feedback = min(4.0, max(0.5, self._decayed_feedback() * factor))
        self._feedback_time = self._clock()

    def _decayed_feedback(self) -> float:
        age = self._clock() - self._feedback_time
        return float(self._feedback ** max(0.0, 1.0 - age / FEEDBACK_DECAY_S))
