"""Follow changed files: what to index again, and when.

Events are only hints. Whatever they say, the files are also listed from time to time, so that a
change without an event is found. Listing costs time in proportion to the number of files, so the
pauses between listings grow with it.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

from code_context.index import RepositoryIndex
from code_context.index_refresh import Progress, RefreshResult, refresh, refresh_file

QUIET = 0.2
"""Seconds without a change before the changed files are indexed."""
MAX_DELAY = 1.0
"""Seconds after the first change: a file that is written all the time delays others no longer."""
POLL_PERIOD = 10.0
"""Seconds between listings where changes are not reported."""
LISTING_PERIOD = 30.0
"""Seconds between listings otherwise."""
SETTLING_PERIOD = 2.0
"""Seconds to the next listing after very many changes, of which some events may be lost."""
PAUSE, PERIODIC_PAUSE = 5, 20
"""Durations of a listing between two listings, after events and without."""
MAX_FILES = 100
"""More changed files are found by a listing."""
MAX_IGNORED = 10_000


class ListingSchedule:
    """When changed files are due, and when the next listing is. Times are those of the clock."""

    def __init__(self, now: float, *, is_polling: bool) -> None:
        self.is_polling = is_polling
        self.is_settling = False
        """Whether events may have been lost among very many."""
        self.has_missed_events = False
        """Whether the last listing found a change that no event has told."""
        self._first_change = self._last_change = now
        self._listed_at = now
        self._listing_seconds = 0.0

    def changed(self, now: float, *, is_first: bool) -> None:
        """An event has arrived; `is_first` of those that are pending."""
        if is_first:
            self._first_change = now
        self._last_change = now
        self.has_missed_events = False

    def listed(self, now: float, seconds: float) -> None:
        """A listing has ended that took `seconds`, without reading the files."""
        self._listed_at = now
        self._listing_seconds = seconds

    def next_pending(self, *, needs_listing: bool) -> float:
        """When to index what has changed."""
        due = min(self._last_change + QUIET, self._first_change + MAX_DELAY)
        if needs_listing:
            due = max(due, self._listed_at + PAUSE * self._listing_seconds)
        return due

    def next_listing(self) -> float:
        """When to list the files without any event."""
        if self.is_settling:
            period, pause = SETTLING_PERIOD, PAUSE
        elif self.has_missed_events:
            period, pause = QUIET, PAUSE
        else:
            period = POLL_PERIOD if self.is_polling else LISTING_PERIOD
            pause = PERIODIC_PAUSE
        return self._listed_at + max(period, pause * self._listing_seconds)


class IndexFollower:
    """Keeps an index up to date with its repository. Call `update` after `wait` seconds."""

    def __init__(
        self,
        root: Path,
        index: RepositoryIndex,
        *,
        is_polling: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_polling`: no complete events are to be expected."""
        self._root = root
        self._index = index
        self._clock = clock
        self._schedule = ListingSchedule(clock(), is_polling=is_polling)
        self._changed: set[str] = set()
        self._needs_listing = False
        self._ignored: set[str] = set()

    @property
    def is_polling(self) -> bool:
        """Whether events are incomplete, from the start or as it turned out."""
        return self._schedule.is_polling

    def changed(self, path: str | None) -> None:
        """A file has changed; None: anything may have, also which files are ignored."""
        if path is None:
            self._ignored.clear()
        elif path in self._ignored:
            return
        self._schedule.changed(self._clock(), is_first=not self._is_pending())
        if path is None or len(self._changed) >= MAX_FILES:
            self._needs_listing = True
        else:
            self._changed.add(path)
            # a new file may be ignored: only a listing tells
            self._needs_listing = self._needs_listing or not self._index.contains(path)

    def wait(self) -> float:
        """Seconds until `update` has something to do."""
        return max(0.0, min(self._schedule.next_listing(), self._next_pending()) - self._clock())

    def update(self) -> None:
        """Do what is due. Raises `sqlite3.Error`."""
        now, schedule = self._clock(), self._schedule
        if now >= self._next_pending():
            if self._needs_listing:
                schedule.is_settling = self.list_files().indexed > MAX_FILES
            else:
                for path in sorted(self._changed):
                    refresh_file(self._index, self._root, path)
                self._changed.clear()
        elif now >= schedule.next_listing():
            if schedule.has_missed_events:  # none arrived late either
                schedule.is_polling = True
            was_settling = schedule.is_settling
            result = self.list_files()
            schedule.is_settling = was_settling and result.indexed > 0
            schedule.has_missed_events = bool(result.changed) and not was_settling

    def list_files(self, progress: Progress = lambda done, total: None) -> RefreshResult:
        """Bring the whole index up to date. Raises `sqlite3.Error`."""
        start = self._clock()
        listed_at: list[float] = []

        def listed(done: int, total: int) -> None:
            listed_at.append(self._clock())
            progress(done, total)

        changed, self._changed, self._needs_listing = self._changed, set(), False
        result = refresh(self._index, self._root, listed)
        self._schedule.listed(self._clock(), listed_at[0] - start)
        unlisted = {path for path in changed if not self._index.contains(path)}
        if len(self._ignored) + len(unlisted) > MAX_IGNORED:
            self._ignored.clear()
        self._ignored |= unlisted
        return result

    def _is_pending(self) -> bool:
        return self._needs_listing or bool(self._changed)

    def _next_pending(self) -> float:
        if not self._is_pending():
            return math.inf
        return self._schedule.next_pending(needs_listing=self._needs_listing)
