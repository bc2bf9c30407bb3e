"""The repository index: definitions, imports and full text of its files, in one SQLite file.

The file is a cache: if it is damaged or of another version, it is built again. One process writes
it, any number of processes read it at the same time (write-ahead log). FTS5 ranks chunks by BM25.
"""

import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from code_context.chunking import Chunk, split_into_chunks
from code_context.languages import language_of, languages
from code_context.source_files import ExcludedFile, exclusion_reason
from code_context.symbols import Definition, Import, extract_symbols
from code_context.syntax import parse
from file_access.write_ahead_log import use_write_ahead_log

VERSION = 5
MAX_ROWS_PER_FILE = 1 << 20  # range of row ids per file and table; more than a file's bytes
MAX_CACHED_QUERIES = 10_000
WRITE_TIMEOUT = 30.0  # seconds to wait for another process that writes
READ_TIMEOUT = 0.2  # seconds: a request gets no snippets rather than wait longer
SCHEMA = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, stem TEXT NOT NULL, stem_name TEXT NOT NULL,
    size INTEGER, mtime_ns INTEGER, exclusion TEXT
);
CREATE INDEX files_stem_name ON files (stem_name);
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

Stamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds: changes when a file changes."""


@dataclass(frozen=True)
class IndexedDefinition:
    """A definition and the path of its file."""

    path: str
    definition: Definition


@dataclass(frozen=True)
class IndexedChunk:
    """A chunk and the path of its file."""

    path: str
    chunk: Chunk


class IndexVersionError(sqlite3.DatabaseError):
    """The index was written by another version of Attune."""


class RepositoryIndex:
    """One connection to an index. Not thread-safe: one thread owns it."""

    def __init__(self, file: Path | None = None, *, read_only: bool = False) -> None:
        """Open `file`, created if absent; without a file, an index in memory.

        Raises `sqlite3.Error` if it is damaged or cannot be opened, and with `read_only` if it is
        absent; `IndexVersionError` if it has another version.
        """
        if file is None:
            # a copy is made on one thread and then owned by another
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        elif read_only:
            uri = f"{file.absolute().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, READ_TIMEOUT, uri=True, isolation_level=None)
        else:
            self._db = sqlite3.connect(file, WRITE_TIMEOUT, isolation_level=None)
        try:
            self._prepare(read_only)
            self._file = None if file is None else (file, file.stat().st_ino)
        except BaseException:
            self._db.close()
            raise
        self._query_cache: dict[tuple[str, tuple[object, ...]], list[Any]] = {}
        self._cached_state: tuple[int, int] | None = None

    def _prepare(self, read_only: bool) -> None:
        version = self._version()
        if version == 0 and not read_only:
            use_write_ahead_log(self._db, WRITE_TIMEOUT)
            with self.transaction():  # another process may be creating the same file
                version = self._version()
                if version == 0:
                    for statement in (SCHEMA % VERSION).split(";"):
                        self._db.execute(statement)
                    version = VERSION
        if version != VERSION:
            raise IndexVersionError(f"its version is {version}, not {VERSION}")
        self._db.execute("PRAGMA synchronous = OFF")  # a cache: rebuilt if a crash damages it

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def copy(self) -> "RepositoryIndex":
        """A copy in memory, which another thread may own."""
        copy = RepositoryIndex()
        self._db.backup(copy._db)
        return copy

    def is_replaced(self) -> bool:
        """Whether another file, or none, is now where this index was opened."""
        if self._file is None:
            return False
        file, inode = self._file
        try:
            return file.stat().st_ino != inode
        except OSError:
            return True

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def check(self) -> None:
        """Raise `sqlite3.DatabaseError` if the file is damaged."""
        result = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if result != "ok":
            self._db.close()
            raise sqlite3.DatabaseError(result)

    # writing

    def put(self, path: str, text: str) -> None:
        """Index a file with this text, or as excluded if `exclusion_reason` says so."""
        reason = exclusion_reason(text)
        self.store(path, text if reason is None else ExcludedFile(reason))

    def remove(self, path: str) -> None:
        """Remove a file."""
        row = self._db.execute("SELECT id FROM files WHERE path = ?", (_stored(path),)).fetchone()
        if row is not None:
            self._remove_rows(row[0])
            self._db.execute("DELETE FROM files WHERE id = ?", row)

    def store(self, path: str, content: str | ExcludedFile, stamp: Stamp | None = None) -> None:
        """Replace what is indexed of a file. `stamp` is that of the file on disk, if it has one."""
        path = _stored(path)
        self.remove(path)
        reason = content.reason if isinstance(content, ExcludedFile) else None
        stem = stem_of(path)
        size, mtime_ns = stamp or (None, None)
        file = self._db.execute(
            "INSERT INTO files (path, stem, stem_name, size, mtime_ns, exclusion)"
            " VALUES (?,?,?,?,?,?)",
            (path, stem, stem.rpartition("/")[2], size, mtime_ns, reason),
        ).lastrowid
        if not isinstance(content, ExcludedFile) and file is not None:
            self._insert_rows(file, _stored(content), language_of(path))

    def _insert_rows(self, file: int, text: str, language: str | None) -> None:
        definitions, imports = extract_symbols(parse(text, language))
        starts = [one.line for one in definitions if one.kind != "value"]
        chunks = list(enumerate(split_into_chunks(text, starts), file * MAX_ROWS_PER_FILE))
        self._db.executemany(
            "INSERT INTO definitions VALUES (?,?,?,?,?,?,?)",
            [
                (row, file, d.name, d.kind, d.container, d.line, d.outline)
                for row, d in enumerate(definitions, file * MAX_ROWS_PER_FILE)
            ],
        )
        self._db.executemany(
            "INSERT INTO imports VALUES (?,?,?,?,?)",
            [
                (row, i.module, i.name, i.alias, i.line)
                for row, i in enumerate(imports, file * MAX_ROWS_PER_FILE)
            ],
        )
        self._db.executemany(
            "INSERT INTO chunks VALUES (?,?,?,?)",
            [(row, file, chunk.line, chunk.text) for row, chunk in chunks],
        )
        self._db.executemany(
            "INSERT INTO search (rowid, text) VALUES (?,?)",
            [(row, chunk.text) for row, chunk in chunks],
        )

    def _remove_rows(self, file: int) -> None:
        rows = (file * MAX_ROWS_PER_FILE, (file + 1) * MAX_ROWS_PER_FILE - 1)
        self._db.execute(
            "INSERT INTO search (search, rowid, text)"
            " SELECT 'delete', id, text FROM chunks WHERE id BETWEEN ? AND ?",
            rows,
        )
        for table in ("chunks", "definitions", "imports"):
            self._db.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", rows)  # noqa: S608

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of the block at once, or none of them after an exception."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # reading

    def stamps(self) -> dict[str, tuple[int | None, int | None]]:
        """The stamp of every file by path; (None, None) for one that was put without a stamp."""
        rows = self._db.execute("SELECT path, size, mtime_ns FROM files")
        return {path: (size, mtime_ns) for path, size, mtime_ns in rows}

    def excluded_files(self) -> dict[str, int]:
        """The number of excluded files by reason."""
        rows = self._db.execute(
            "SELECT exclusion, count(*) FROM files WHERE exclusion NOTNULL GROUP BY exclusion"
        )
        return dict(rows.fetchall())

    def exclusion_of(self, path: str) -> str | None:
        """Why a file is excluded; None if it is not, or is not in the index."""
        query = "SELECT exclusion FROM files WHERE path = ?"
        row = self._db.execute(query, (_stored(path),)).fetchone()
        return row[0] if row else None

    def contains(self, path: str) -> bool:
        """Whether a file is in the index, excluded or not."""
        row = self._db.execute("SELECT 1 FROM files WHERE path = ?", (_stored(path),)).fetchone()
        return row is not None

    def file_count(self) -> int:
        """The number of files that are not excluded."""
        query = "SELECT count(*) FROM files WHERE exclusion ISNULL"
        return int(self._db.execute(query).fetchone()[0])

    def definitions(self, name: str, limit: int = 8) -> list[IndexedDefinition]:
        """Classes and functions with this name in any file, sorted by path and line.

        Empty if there are more than `limit`: such a name is ambiguous, and slow to look up.
        """
        matches = self._select_definitions(
            "d.name = ? AND d.kind != 'value' LIMIT ?", name, limit + 1
        )
        if len(matches) > limit:
            return []
        return sorted(matches, key=lambda one: (one.path, one.definition.line))

    def definitions_in(self, path: str, name: str) -> list[IndexedDefinition]:
        """Top-level definitions with this name in a file."""
        where = "f.path = ? AND d.name = ? AND d.container = '' ORDER BY d.line"
        return self._select_definitions(where, path, name)

    def _select_definitions(self, where: str, *values: object) -> list[IndexedDefinition]:
        rows = self._cached_query(
            "SELECT f.path, d.name, d.kind, d.container, d.line, d.outline"  # noqa: S608
            f" FROM definitions d JOIN files f ON f.id = d.file WHERE {where}",
            *values,
        )
        return [IndexedDefinition(path, Definition(*fields)) for path, *fields in rows]

    def imports_of(self, path: str) -> list[Import]:
        """The imports of a file, in source order."""
        rows = self._cached_query(
            "SELECT i.module, i.name, i.alias, i.line FROM files f JOIN imports i"
            " ON i.id BETWEEN f.id * ? AND f.id * ? + ? WHERE f.path = ? ORDER BY i.line, i.id",
            MAX_ROWS_PER_FILE,
            MAX_ROWS_PER_FILE,
            MAX_ROWS_PER_FILE - 1,
            path,
        )
        return [Import(*row) for row in rows]

    def files_by_stem_name(self, name: str) -> list[tuple[str, str]]:
        """(stem, path) of the files whose stem ends with the component `name`, sorted by path."""
        return self._cached_query(
            "SELECT stem, path FROM files WHERE stem_name = ? AND exclusion ISNULL ORDER BY path",
            name,
        )

    def search(self, terms: Iterable[str], limit: int) -> list[IndexedChunk]:
        """The `limit` best chunks by BM25 that contain any of the terms; ties in index order."""
        expression = " OR ".join(f'"{term}"' for term in terms)
        if not expression:
            return []
        rows = self._cached_query(
            "SELECT f.path, c.line, c.text FROM"
            " (SELECT rowid FROM search WHERE search MATCH ? ORDER BY rank, rowid LIMIT ?) s"
            " JOIN chunks c ON c.id = s.rowid JOIN files f ON f.id = c.file",
            expression,
            limit,
        )
        return [IndexedChunk(path, Chunk(line, text)) for path, line, text in rows]

    def chunk_frequency(self, term: str) -> int:
        """The number of chunks that contain a term (its document frequency)."""
        rows = self._cached_query("SELECT doc FROM terms WHERE term = ?", term.lower())
        return int(rows[0][0]) if rows else 0

    def idf(self, term: str) -> float:
        """Inverse document frequency of a term over chunks, as in BM25; 0 for an absent term."""
        frequency = self.chunk_frequency(term)
        if not frequency:
            return 0.0
        total = self._cached_query("SELECT count(*) FROM chunks")[0][0]
        return math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))

    def drop_stale_cache(self) -> bool:
        """Clear the cache of query results if the index has changed; returns whether it did.

        Call it at the start of a request: until the next call, results may come from the cache.
        """
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        state = (version, self._db.total_changes)
        if state != self._cached_state or len(self._query_cache) > MAX_CACHED_QUERIES:
            self._cached_state = state
            self._query_cache.clear()
            return True
        return False

    def _cached_query(self, query: str, *values: object) -> list[Any]:
        values = tuple(_stored(value) if isinstance(value, str) else value for value in values)
        key = (query, values)
        rows = self._query_cache.get(key)
        if rows is None:
            rows = self._query_cache[key] = self._db.execute(query, values).fetchall()
        return rows


def _stored(text: str) -> str:
    """The text without lone surrogates, which SQLite cannot store: names of files may have them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def stem_of(path: str) -> str:
    """The path as imports name it: without its suffix, or the folder that the file stands for."""
    file = PurePosixPath(path)
    key = language_of(path)
    if key is not None and file.stem in languages()[key].folder_files:
        return file.parent.as_posix()
    return file.with_suffix("").as_posix()
