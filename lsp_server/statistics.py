"""Counts of what became of suggestions, on this machine alone and without any code.

One row for each suggestion in a SQLite file; the newest `MAX_ROWS` are kept.
"""

import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist, fmean, variance
from typing import Any, Literal

from lsp_server.outcomes import KEPT_AFTER_S, Kept, Settled

logger = logging.getLogger(__name__)

MAX_ROWS = 200_000

ENOUGH = 100
"""Suggestions of each kind before a verdict: about a day of typing for the smaller share."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS suggestions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    settled_at REAL NOT NULL,   -- seconds since 1970
    suffix TEXT NOT NULL,       -- of the file's name
    prompt TEXT,                -- name of the prompt in use, null without one
    compared INTEGER NOT NULL,  -- 1: made without the prompt, for comparison
    how TEXT NOT NULL,
    offered INTEGER NOT NULL,   -- code points
    taken INTEGER NOT NULL,
    kept_15 INTEGER, kept_120 INTEGER, kept_600 INTEGER
)
"""

Verdict = Literal["unknown", "worth it", "worth nothing"]


@dataclass(frozen=True)
class Arm:
    """Suggestions that were made with the prompt, or without; `kept_…` are means of code points
    per suggestion, None before the first could be looked at."""

    suggestions: int
    accepted: int
    partially_accepted: int
    rejected: int
    characters_taken: int
    kept_after_15_s: float | None
    kept_after_120_s: float | None
    kept_after_600_s: float | None


@dataclass(frozen=True)
class Comparison:
    """Kept characters per suggestion, with the prompt minus without, and its 95 % interval."""

    verdict: Verdict
    difference: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Summary:
    """What a statistics page shows. `file` is None where nothing is kept."""

    file: str | None
    prompt: str | None
    with_prompt: Arm
    without_prompt: Arm
    comparison: Comparison

    def to_json(self) -> dict[str, Any]:
        """The same, for JSON."""
        return asdict(self)


class Statistics:
    """The counts of one file, or of nothing where `path` is None or cannot be written.

    `clock` gives seconds since 1970.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._rows = None if path is None else _opened(path)

    def settled(self, settled: Settled) -> None:
        """Count a suggestion that has come to its end; one that nobody read is none."""
        if self._rows is None or settled.how == "dropped":
            return
        source = settled.source
        self._write(
            "INSERT OR IGNORE INTO suggestions "
            "(id, settled_at, suffix, prompt, compared, how, offered, taken) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                settled.id,
                self._clock(),
                source.suffix,
                source.prompt,
                source.compared,
                settled.how,
                settled.offered,
                settled.taken,
            ),
        )

    def kept(self, kept: Kept) -> None:
        """Note how much of an accepted text still stood."""
        self._write(
            "UPDATE suggestions SET "
            "kept_15 = CASE ?2 WHEN 15 THEN ?1 ELSE kept_15 END, "
            "kept_120 = CASE ?2 WHEN 120 THEN ?1 ELSE kept_120 END, "
            "kept_600 = CASE ?2 WHEN 600 THEN ?1 ELSE kept_600 END "
            "WHERE id = ?3",
            (kept.characters, kept.seconds, kept.id),
        )

    def summary(self, prompt: str | None) -> Summary:
        """The figures for a prompt by its name, and for the comparison made while it served."""
        with_prompt, without = (self._of(prompt, compared) for compared in (False, True))
        file = None if self._rows is None else str(self._path)
        kept, kept_without = (
            [row[KEPT_AFTER_S[1]] for row in rows] for rows in (with_prompt, without)
        )
        comparison = compare(kept, kept_without)
        return Summary(file, prompt, _arm(with_prompt), _arm(without), comparison)

    def close(self) -> None:
        """Write what is left, and drop the oldest rows beyond the limit."""
        if self._rows is not None:
            self._write(
                "DELETE FROM suggestions WHERE number <= (SELECT MAX(number) FROM suggestions) - ?",
                (MAX_ROWS,),
            )
            self._rows.close()
            self._rows = None

    def _of(self, prompt: str | None, compared: bool) -> list[dict[Any, Any]]:
        if self._rows is None:
            return []
        found = self._rows.execute(
            "SELECT how, taken, kept_15, kept_120, kept_600 FROM suggestions "
            "WHERE prompt IS ? AND compared = ?",
            (prompt, compared),
        )
        keys = ("how", "taken", *KEPT_AFTER_S)
        rows = [dict(zip(keys, row, strict=True)) for row in found]
        for row in rows:
            if not row["taken"]:  # nothing was inserted, so nothing is kept
                row.update(dict.fromkeys(KEPT_AFTER_S, 0))
        return rows

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        """Write one row; statistics never disturb the typing, so a failure is only logged."""
        if self._rows is None:
            return
        try:
            self._rows.execute(statement, values)
        except sqlite3.Error as error:
            logger.warning("The statistics were not written (%s).", type(error).__name__)


def compare(with_prompt: Iterable[float | None], without: Iterable[float | None]) -> Comparison:
    """Compare kept characters per suggestion by Welch's interval for a difference of means.

    None values are not known yet. Worth it: the interval lies above zero. Worth nothing: with
    `ENOUGH` suggestions of each kind there is no gain on average.
    """
    sides = [[one for one in side if one is not None] for side in (with_prompt, without)]
    if min(map(len, sides)) < ENOUGH:
        return Comparison("unknown")
    difference = fmean(sides[0]) - fmean(sides[1])
    error = math.sqrt(sum(variance(side) / len(side) for side in sides))
    reach = NormalDist().inv_cdf(0.975) * error
    verdict: Verdict = "unknown"
    if difference - reach > 0:
        verdict = "worth it"
    elif difference <= 0:
        verdict = "worth nothing"
    return Comparison(verdict, difference, difference - reach, difference + reach)


def _arm(rows: list[dict[Any, Any]]) -> Arm:
    hows = [row["how"] for row in rows]
    kept = ([row[seconds] for row in rows if row[seconds] is not None] for seconds in KEPT_AFTER_S)
    return Arm(
        len(rows),
        hows.count("accepted"),
        hows.count("partially accepted"),
        hows.count("rejected"),
        sum(row["taken"] for row in rows),
        *(fmean(values) if values else None for values in kept),
    )


def _opened(path: Path) -> sqlite3.Connection | None:
    """The file, made if it is missing; one that is no database is set aside."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            path.replace(path.with_name(path.name + ".damaged"))
            logger.warning("The statistics were damaged; they were set aside and begin anew.")
            return _connected(path)
    except (OSError, sqlite3.Error) as error:
        logger.warning("There are no statistics (%s).", type(error).__name__)
        return None


def _connected(path: Path) -> sqlite3.Connection:
    # Autocommit; in WAL mode without waiting for the disk, because the event loop waits for it.
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.2)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
