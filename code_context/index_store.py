"""Location of a repository's index on disk, and opening it: created, or rebuilt when damaged."""

import hashlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from code_context.index import IndexVersionError, RepositoryIndex
from code_context.index_refresh import Progress, refresh
from file_access.user_folders import cache_folder

DAMAGED = "The repository index was damaged and has been built again."
NOT_ON_DISK = "The repository index cannot be kept on disk ({}), so each command builds it again."
DATABASE_SUFFIXES = ("", "-wal", "-shm")  # the files of one SQLite database


@dataclass(frozen=True)
class OpenedIndex:
    """An up-to-date index, and sentences for the user about problems."""

    index: RepositoryIndex
    notices: tuple[str, ...]


def index_file(root: Path) -> Path:
    """The index file of a repository: in the user's cache folder, never in the repository."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    return cache_folder() / "index" / f"{digest}.sqlite"


def open_index(root: Path, progress: Progress = lambda done, total: None) -> OpenedIndex:
    """The index of a repository, brought up to date.

    A damaged one is built again; if it cannot be written to disk, it is built in memory.
    """
    notices = []
    try:
        index, was_damaged = open_or_rebuild(index_file(root))
        if was_damaged:
            notices.append(DAMAGED)
    except (OSError, sqlite3.Error) as error:
        notices.append(NOT_ON_DISK.format(error))
        index = RepositoryIndex()
    try:
        result = refresh(index, root, progress)
    except sqlite3.Error as error:  # the disk is full, or damage that opening did not detect
        index.close()
        notices.append(NOT_ON_DISK.format(error))
        index = RepositoryIndex()
        result = refresh(index, root, progress)
    if result.notice is not None:
        notices.append(result.notice)
    return OpenedIndex(index, tuple(notices))


def open_or_rebuild(file: Path) -> tuple[RepositoryIndex, bool]:
    """The writable index in `file`, new if it was absent or damaged; and whether it was damaged.

    An index of another version is replaced and does not count as damaged. Raises `OSError` or
    `sqlite3.Error` if the file cannot be created.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        index = RepositoryIndex(file)
        index.check()
        return index, False
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        for suffix in DATABASE_SUFFIXES:
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        return RepositoryIndex(file), not isinstance(error, IndexVersionError)
