"""The repository index: definitions, imports and full text of many files, in one SQLite file.

The file is a cache: whoever finds it damaged or of another version makes it anew. One process
writes it, any number read it at the same time (write-ahead log). FTS5 ranks chunks by BM25.
"""

import math
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from code_context.chunks import Chunk, chunks
from code_context.languages import language_of, languages
from code_context.selection import LeftOut, Listing, list_files, read_source, reason_to_leave_out
from code_context.symbols import Definition, Import, symbols
from code_context.syntax import parse

VERSION = 3
BATCH = 200  # files of one transaction
ROWS = 1 << 20  # ids that a file's rows in one table have to themselves; its bytes are fewer
MAX_ANSWERS = 10_000  # kept between two looks at the file
SCHEMA = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, stem TEXT NOT NULL, last TEXT NOT NULL,
    size INTEGER, changed INTEGER, left_out TEXT
);
CREATE INDEX files_last ON files (last);
CREATE TABLE definitions (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    container TEXT NOT NULL, line INTEGER NOT NULL, outline TEXT NOT NULL
);
CREATE INDEX definitions_name ON definitions (name, file);
CREATE TABLE imports (
    id INTEGER PRIMARY KEY, module TEXT NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL,
    line INTEGER NOT NULL
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, line INTEGER NOT NULL, text TEXT NOT NULL
);
CREATE VIRTUAL TABLE search USING fts5 (
    text, content='chunks', content_rowid='id',
    tokenize="unicode61 remove_diacritics 0 tokenchars '_'"
);
INSERT INTO search (search, rank) VALUES ('hashsize', 4000000);
CREATE VIRTUAL TABLE terms USING fts5vocab (search, 'row');
PRAGMA user_version = %d;
"""


@dataclass(frozen=True)
class Located:
    """A definition and the file it stands in."""

    path: str
    definition: Definition


@dataclass(frozen=True)
class FoundChunk:
    """A chunk and the file it stands in."""

    path: str
    chunk: Chunk


@dataclass(frozen=True)
class Refreshed:
    """What a look over the repository found; `notice`, if any, is a sentence for people."""

    files: int
    indexed: int
    removed: int
    notice: str | None


Progress = Callable[[int, int], None]
"""Hears how many of how many files have been looked at."""


class RepositoryIndex:
    """One connection to an index. Not thread-safe: one thread owns it."""

    def __init__(self, file: Path | None = None, *, read_only: bool = False) -> None:
        """Open `file`, made if it is absent; without one, an index in memory.

        Raises `sqlite3.Error` if it is damaged or cannot be opened, or, for `read_only`, is absent
        or of another version.
        """
        if file is None:
            self._db = sqlite3.connect(":memory:", isolation_level=None)
        elif read_only:
            self._db = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
            )
        else:
            self._db = sqlite3.connect(file, isolation_level=None)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            if read_only or version != 0:
                self._db.close()
                raise OtherVersionError(f"its version is {version}, not {VERSION}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(SCHEMA % VERSION)
        self._db.execute("PRAGMA synchronous = OFF")  # a cache: rebuilt if a crash damages it
        self._answers: dict[tuple[str, tuple[object, ...]], list[Any]] = {}
        self._state: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def check(self) -> None:
        """Raise `sqlite3.DatabaseError` if the file is damaged."""
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            self._db.close()
            raise sqlite3.DatabaseError(found)

    # writing

    def put(self, path: str, text: str) -> None:
        """Index a file as `text`; what was known of it is forgotten. Nobody's secrets are kept."""
        left_out = reason_to_leave_out(text)
        self._store(path, left_out or text, None, None)

    def remove(self, path: str) -> None:
        """Forget a file."""
        row = self._db.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
        if row is not None:
            self._forget(row[0])
            self._db.execute("DELETE FROM files WHERE id = ?", row)

    def refresh(
        self,
        root: Path,
        progress: Progress = lambda done, total: None,
        *,
        listing: Listing | None = None,
    ) -> Refreshed:
        """Bring the index up to date with the files below `root`; only changed ones are read."""
        listing = listing or list_files(root, lambda path: language_of(path) is not None)
        known = {
            path: (size, changed)
            for path, size, changed in self._db.execute("SELECT path, size, changed FROM files")
        }
        gone = known.keys() - set(listing.paths)
        stale = []
        for path in listing.paths:
            stamp = _stamp(root / path)
            if stamp is None:
                if path in known:
                    gone.add(path)
            elif known.get(path) != stamp:
                stale.append((path, stamp))
        total = len(stale)
        for begin in range(0, total, BATCH):
            progress(begin, total)
            with self._transaction():
                for path, stamp in stale[begin : begin + BATCH]:
                    self._store(path, read_source(root / path), *stamp)
        with self._transaction():
            for path in gone:
                self.remove(path)
        progress(total, total)
        return Refreshed(len(listing.paths), total, len(gone), _notice(listing))

    def update_file(self, root: Path, path: str) -> None:
        """Look at one file again."""
        stamp = _stamp(root / path)
        with self._transaction():
            if stamp is None:
                self.remove(path)
            else:
                self._store(path, read_source(root / path), *stamp)

    def _store(self, path: str, read: str | LeftOut, size: int | None, changed: int | None) -> None:
        row = self._db.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
        left_out = read.reason if isinstance(read, LeftOut) else None
        stem = stem_of(path)
        values = (path, stem, stem.rpartition("/")[2], size, changed, left_out)
        if row is not None:
            self._forget(row[0])
            self._db.execute("DELETE FROM files WHERE id = ?", row)
        file = self._db.execute(
            "INSERT INTO files (path, stem, last, size, changed, left_out) VALUES (?,?,?,?,?,?)",
            values,
        ).lastrowid
        if isinstance(read, LeftOut) or file is None:
            return
        # a lone surrogate is no text to SQLite
        text = read.encode("utf-8", "replace").decode("utf-8")
        defined, imported = symbols(parse(text, language_of(path)))
        pieces = list(enumerate(chunks(text, [d.line for d in defined if d.kind != "value"])))
        first = file * ROWS
        self._db.executemany(
            "INSERT INTO definitions VALUES (?,?,?,?,?,?,?)",
            [
                (first + n, file, d.name, d.kind, d.container, d.line, d.outline)
                for n, d in enumerate(defined)
            ],
        )
        self._db.executemany(
            "INSERT INTO imports VALUES (?,?,?,?,?)",
            [(first + n, i.module, i.name, i.alias, i.line) for n, i in enumerate(imported)],
        )
        self._db.executemany(
            "INSERT INTO chunks VALUES (?,?,?,?)",
            [(first + n, file, chunk.line, chunk.text) for n, chunk in pieces],
        )
        self._db.executemany(
            "INSERT INTO search (rowid, text) VALUES (?,?)",
            [(first + n, chunk.text) for n, chunk in pieces],
        )

    def _forget(self, file: int) -> None:
        rows = (file * ROWS, (file + 1) * ROWS - 1)
        self._db.execute(
            "INSERT INTO search (search, rowid, text)"
            " SELECT 'delete', id, text FROM chunks WHERE id BETWEEN ? AND ?",
            rows,
        )
        for table in ("chunks", "definitions", "imports"):
            self._db.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", rows)  # noqa: S608

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)

    # reading

    def left_out(self) -> dict[str, int]:
        """How many files are not used for which reason."""
        rows = self._db.execute(
            "SELECT left_out, count(*) FROM files WHERE left_out NOTNULL GROUP BY left_out"
        )
        return dict(rows.fetchall())

    def why_left_out(self, path: str) -> str | None:
        """Why a file is not used, None if it is or is not known."""
        row = self._db.execute("SELECT left_out FROM files WHERE path = ?", (path,)).fetchone()
        return row[0] if row else None

    def holds(self, path: str) -> bool:
        """Whether a file is known, used or not."""
        row = self._db.execute("SELECT 1 FROM files WHERE path = ?", (path,)).fetchone()
        return row is not None

    def file_count(self) -> int:
        """Files that are used."""
        query = "SELECT count(*) FROM files WHERE left_out ISNULL"
        return int(self._db.execute(query).fetchone()[0])

    def definitions(self, name: str, limit: int = 8) -> list[Located]:
        """Classes and functions of a name anywhere, in the order of their paths.

        None at all if there are more than `limit`: such a name says nothing and is dear to look up.
        """
        found = self._located("d.name = ? AND d.kind != 'value' LIMIT ?", name, limit + 1)
        found = found if len(found) <= limit else []
        return sorted(found, key=lambda one: (one.path, one.definition.line))

    def definitions_in(self, path: str, name: str) -> list[Located]:
        """Definitions of a name at the top level of a file."""
        where = "f.path = ? AND d.name = ? AND d.container = '' ORDER BY d.line"
        return self._located(where, path, name)

    def _located(self, where: str, *values: object) -> list[Located]:
        rows = self._ask(
            "SELECT f.path, d.name, d.kind, d.container, d.line, d.outline"  # noqa: S608
            f" FROM definitions d JOIN files f ON f.id = d.file WHERE {where}",
            *values,
        )
        return [Located(path, Definition(*rest)) for path, *rest in rows]

    def imports_of(self, path: str) -> list[Import]:
        """What a file takes from elsewhere."""
        rows = self._ask(
            "SELECT i.module, i.name, i.alias, i.line FROM files f JOIN imports i"
            " ON i.id BETWEEN f.id * ? AND f.id * ? + ? WHERE f.path = ? ORDER BY i.line, i.id",
            ROWS,
            ROWS,
            ROWS - 1,
            path,
        )
        return [Import(*row) for row in rows]

    def files_named(self, last: str) -> list[tuple[str, str]]:
        """(stem, path) of files whose stem ends with a component, in the order of their paths."""
        return self._ask(
            "SELECT stem, path FROM files WHERE last = ? AND left_out ISNULL ORDER BY path", last
        )

    def search(self, terms: Iterable[str], limit: int) -> list[FoundChunk]:
        """Chunks that hold any of the terms, best by BM25 first; ties in the order of indexing."""
        asked = " OR ".join(f'"{term}"' for term in terms)
        if not asked:
            return []
        rows = self._ask(
            "SELECT f.path, c.line, c.text FROM"
            " (SELECT rowid FROM search WHERE search MATCH ? ORDER BY rank, rowid LIMIT ?) s"
            " JOIN chunks c ON c.id = s.rowid JOIN files f ON f.id = c.file",
            asked,
            limit,
        )
        return [FoundChunk(path, Chunk(line, text)) for path, line, text in rows]

    def frequency(self, term: str) -> int:
        """How many chunks hold a term."""
        rows = self._ask("SELECT doc FROM terms WHERE term = ?", term.lower())
        return int(rows[0][0]) if rows else 0

    def rarity(self, term: str) -> float:
        """BM25's inverse document frequency of a term over chunks, 0 for one that is not there."""
        found = self.frequency(term)
        if not found:
            return 0.0
        total = self._ask("SELECT count(*) FROM chunks")[0][0]
        return math.log(1 + (total - found + 0.5) / (found + 0.5))

    def forget_answers(self) -> bool:
        """Ask the file again if it has changed; until then an answer is read from it once.

        Returns whether anything was forgotten.
        """
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        state = (version, self._db.total_changes)
        if state != self._state or len(self._answers) > MAX_ANSWERS:
            self._state = state
            self._answers.clear()
            return True
        return False

    def _ask(self, query: str, *values: object) -> list[Any]:
        key = (query, values)
        found = self._answers.get(key)
        if found is None:
            found = self._answers[key] = self._db.execute(query, values).fetchall()
        return found


class OtherVersionError(sqlite3.DatabaseError):
    """The index was made by another version of Attune."""


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("ROLLBACK" if kind else "COMMIT")


def stem_of(path: str) -> str:
    """The path by which code speaks of a file: without its ending, or the folder it speaks for."""
    file = PurePosixPath(path)
    key = language_of(path)
    if key is not None and file.stem in languages()[key].folder_files:
        return file.parent.as_posix()
    return file.with_suffix("").as_posix()


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.lstat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _notice(listing: Listing) -> str | None:
    if not listing.dropped:
        return None
    return (
        f"The repository has {listing.dropped + len(listing.paths)} source files; "
        f"the {len(listing.paths)} least deep ones are indexed. Name folders to leave out in "
        ".attuneignore."
    )
