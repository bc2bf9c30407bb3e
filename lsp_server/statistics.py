"""Statistics of suggestion outcomes, kept on this machine only and without any code.

A SQLite file holds one row for each suggestion, and for each place without one, the newest
`MAX_ROWS` of them. One thread owns the connection, so the event loop never waits for the file.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from file_access.write_ahead_log import use_write_ahead_log
from lsp_server.ab_test import PERIOD_S, period
from lsp_server.outcomes import RETENTION_S, Outcome, OutcomeKind, Retention
from lsp_server.sequential_test import AbTestResult, ClusteredMean, ab_test_result

logger = logging.getLogger(__name__)

MAX_ROWS = 200_000

LOCK_TIMEOUT = 5.0  # seconds to wait for another server that opens the file

COMPARED_AFTER_S = 120
"""The A/B test compares the characters that are retained after so many seconds."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS suggestions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    settled_at REAL NOT NULL,   -- time of the outcome, seconds since 1970
    suffix TEXT NOT NULL,       -- of the file's name
    prompt TEXT,                -- name of the prompt in use, null without one
    compared INTEGER NOT NULL,  -- 1: made without the prompt, for the A/B test
    how TEXT NOT NULL,          -- kind of the outcome
    offered INTEGER NOT NULL,   -- length in code points
    taken INTEGER NOT NULL,     -- accepted code points
    kept_15 INTEGER, kept_120 INTEGER, kept_600 INTEGER  -- retained code points
)
"""

INSERT = """
INSERT INTO suggestions (id, settled_at, suffix, prompt, compared, how, offered, taken)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

UPDATE = """
UPDATE suggestions SET
    kept_15 = CASE ?2 WHEN 15 THEN ?1 ELSE kept_15 END,
    kept_120 = CASE ?2 WHEN 120 THEN ?1 ELSE kept_120 END,
    kept_600 = CASE ?2 WHEN 600 THEN ?1 ELSE kept_600 END
WHERE id = ?3
RETURNING prompt, compared, settled_at
"""

# What nobody accepted is not retained either.
AGGREGATE = """
SELECT compared, CAST(settled_at / ?2 AS INTEGER), how, COUNT(*), SUM(taken),
    COUNT(kept_15), SUM(kept_15), COUNT(kept_120), SUM(kept_120), COUNT(kept_600), SUM(kept_600)
FROM (
    SELECT compared, settled_at, how, taken,
        CASE taken WHEN 0 THEN 0 ELSE kept_15 END AS kept_15,
        CASE taken WHEN 0 THEN 0 ELSE kept_120 END AS kept_120,
        CASE taken WHEN 0 THEN 0 ELSE kept_600 END AS kept_600
    FROM suggestions WHERE prompt IS ?1
)
GROUP BY 1, 2, 3
"""

DELETE = "DELETE FROM suggestions WHERE number <= (SELECT MAX(number) FROM suggestions) - ?"


@dataclass(frozen=True)
class ArmSummary:
    """Suggestions of one arm of the A/B test.

    `places` counts those and the places where nothing was shown. `retained_after_…`: mean of code
    points per place, None before the first measurement.
    """

    places: int
    suggestions: int
    accepted: int
    partially_accepted: int
    rejected: int
    characters_accepted: int
    retained_after_15_s: float | None
    retained_after_120_s: float | None
    retained_after_600_s: float | None


@dataclass(frozen=True)
class Summary:
    """The content of a statistics page. `file` is None if no statistics are kept."""

    file: str | None
    prompt: str | None
    with_prompt: ArmSummary
    without_prompt: ArmSummary
    ab_test: AbTestResult


@dataclass
class _Arm:
    """Running sums of one arm: adding a suggestion or a measurement costs O(1)."""

    suggestions: dict[OutcomeKind, int] = field(default_factory=dict)
    characters_accepted: int = 0
    retention: dict[int, ClusteredMean] = field(
        default_factory=lambda: {seconds: ClusteredMean() for seconds in RETENTION_S}
    )

    def add(self, kind: OutcomeKind, count: int, characters_accepted: int) -> None:
        self.suggestions[kind] = self.suggestions.get(kind, 0) + count
        self.characters_accepted += characters_accepted

    def summary(self) -> ArmSummary:
        places = sum(self.suggestions.values())
        return ArmSummary(
            places,
            places - self.suggestions.get("not shown", 0),
            self.suggestions.get("accepted", 0),
            self.suggestions.get("partially accepted", 0),
            self.suggestions.get("rejected", 0),
            self.characters_accepted,
            *(self.retention[seconds].mean for seconds in RETENTION_S),
        )


_Arms = tuple[_Arm, _Arm]  # with the prompt, without it: indexed by `without_prompt`


def _ab_test(arms: _Arms) -> AbTestResult:
    with_prompt, without = (arm.retention[COMPARED_AFTER_S] for arm in arms)
    return ab_test_result(with_prompt, without)


class Statistics:
    """The statistics in one file, or none where `path` is None or cannot be written.

    `clock` gives seconds since 1970. Methods return at once; their work is done on a thread, in the
    order of the calls.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="attune-statistics")
        self._connection: sqlite3.Connection | None = None
        self._arms: dict[str | None, _Arms] = {}
        self._closed = False
        if path is not None:
            self._thread.submit(self._open, path)

    def record(self, outcome: Outcome) -> None:
        """Count a suggestion that has ended, unless it was ignored."""
        if outcome.kind != "ignored":
            self._write(self._insert, outcome, self._clock())

    def record_retention(self, retention: Retention) -> None:
        """Note how much of an accepted text was retained."""
        self._write(self._update, retention)

    def ab_test(self, prompt: str) -> "Future[AbTestResult]":
        """The A/B test's result so far. Costs O(1) but for the first call for a prompt."""
        return self._thread.submit(lambda: _ab_test(self._sums(prompt)))

    def summary(self, prompt: str | None) -> "Future[Summary]":
        """The figures for a prompt by its name, read from the file.

        The file may also hold rows of other servers, such as another window's.
        """
        return self._thread.submit(self._summary, prompt)

    def close(self) -> None:
        """Finish pending writes, and delete the oldest rows beyond the limit."""
        if not self._closed:
            self._write(self._finish)
            self._closed = True
            self._thread.shutdown()

    def _write(self, work: Callable[..., None], *arguments: Any) -> None:
        """Write on the thread. A failure is only logged: it must not disturb the user."""

        def attempt() -> None:
            try:
                work(*arguments)
            except sqlite3.Error as error:
                logger.warning("The statistics were not written (%s).", type(error).__name__)

        if self._path is not None and not self._closed:
            self._thread.submit(attempt)

    def _open(self, path: Path) -> None:
        self._connection = _opened(path)

    def _insert(self, outcome: Outcome, now: float) -> None:
        if self._connection is None:
            return
        source, kind, accepted = outcome.source, outcome.kind, outcome.accepted_length
        self._connection.execute(
            INSERT,
            (
                outcome.id,
                now,
                source.suffix,
                source.prompt,
                source.without_prompt,
                kind,
                outcome.length,
                accepted,
            ),
        )
        if source.prompt in self._arms:
            arm = self._arms[source.prompt][source.without_prompt]
            arm.add(kind, 1, accepted)
            if not accepted:
                for mean in arm.retention.values():
                    mean.add(period(now), 1, 0)

    def _update(self, retention: Retention) -> None:
        if self._connection is None:
            return
        values = (retention.characters, retention.seconds, retention.id)
        for prompt, without_prompt, time_of_outcome in self._connection.execute(UPDATE, values):
            if prompt in self._arms:
                mean = self._arms[prompt][without_prompt].retention[retention.seconds]
                mean.add(period(time_of_outcome), 1, retention.characters)

    def _finish(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.execute(DELETE, (MAX_ROWS,))
            finally:
                connection.close()

    def _summary(self, prompt: str | None) -> Summary:
        self._arms.pop(prompt, None)
        arms = self._sums(prompt)
        file = None if self._connection is None else str(self._path)
        with_prompt, without = (arm.summary() for arm in arms)
        return Summary(file, prompt, with_prompt, without, _ab_test(arms))

    def _sums(self, prompt: str | None) -> _Arms:
        """The running sums of a prompt, aggregated from the file at first."""
        if prompt not in self._arms:
            arms = (_Arm(), _Arm())
            rows: Iterable[Any] = ()
            if self._connection is not None:
                rows = self._connection.execute(AGGREGATE, (prompt, PERIOD_S))
            for without_prompt, cluster, kind, count, accepted, *retention in rows:
                arm = arms[without_prompt]
                arm.add(kind, count, accepted)
                for index, mean in enumerate(arm.retention.values()):
                    mean.add(cluster, retention[2 * index], retention[2 * index + 1] or 0)
            self._arms[prompt] = arms
        return self._arms[prompt]


def _opened(path: Path) -> sqlite3.Connection | None:
    """A connection to the file, created if it is missing. A file that is no database is renamed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            path.replace(path.with_name(path.name + ".damaged"))
            logger.warning("The statistics file was damaged; it was renamed and a new one begun.")
            return _connected(path)
    except (OSError, sqlite3.Error) as error:
        logger.warning("No statistics are kept (%s).", type(error).__name__)
        return None


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)  # None: autocommit
    try:
        use_write_ahead_log(connection, LOCK_TIMEOUT)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
