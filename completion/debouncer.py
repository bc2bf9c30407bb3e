"""When to ask the model while someone types: at once where it keeps up, else at the next pause."""

from collections.abc import Callable

MAX_DELAY_S = 0.4
FORGET_S = 600.0
"""What acceptances and rejections taught fades over ten minutes."""
PAUSE_S = 1.0  # a longer gap is a pause, not typing
PAUSED = 2.0
"""Usual gaps without a keystroke after which a doubtful question is asked."""


class Debouncer:
    """How fast the user types and the model answers, and how welcome the answers are.

    A request waits as long as the answer would come too late: by how much the model's usual time
    exceeds half of the usual gap between keystrokes, at most that gap. A model that answers within
    half a gap is never waited for. Rejections lengthen the wait and acceptances shorten it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._gap_s = 0.2  # between keystrokes, until some were seen
        self._latency_s = 0.05
        self._patience = 1.0
        self._learnt = clock()

    def typed(self, gap_s: float) -> None:
        """A keystroke came `gap_s` after the one before."""
        if gap_s < PAUSE_S:
            self._gap_s += 0.15 * (gap_s - self._gap_s)

    def answered(self, latency_s: float) -> None:
        """The model took this long for an answer."""
        self._latency_s += 0.25 * (latency_s - self._latency_s)

    def accepted(self) -> None:
        """An answer was taken."""
        self._learn(0.8)

    def rejected(self) -> None:
        """An answer was dismissed."""
        self._learn(1.5)

    def delay_s(self, *, doubtful: bool = False) -> float:
        """How long to wait for another keystroke before the model is asked; until the user pauses
        where its answer is `doubtful`."""
        late = max(0.0, min(self._latency_s - self._gap_s / 2, self._gap_s)) * self._faded()
        return min(MAX_DELAY_S, max(late, PAUSED * self._gap_s if doubtful else 0.0))

    def _learn(self, factor: float) -> None:
        self._patience = min(4.0, max(0.5, self._faded() * factor))
        self._learnt = self._clock()

    def _faded(self) -> float:
        left = max(0.0, 1.0 - (self._clock() - self._learnt) / FORGET_S)
        return float(self._patience**left)
