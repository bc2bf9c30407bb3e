"""Where the index of a repository lies, and how it is brought up to date, now or continuously."""

import hashlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from code_context.index import OtherVersionError, Progress, RepositoryIndex

DAMAGED = "The repository index was damaged and has been built again."
NO_PLACE = "The repository index cannot be kept on disk ({}), so it is built for each command."
SIDE_FILES = ("", "-wal", "-shm")  # what SQLite keeps beside a database


@dataclass(frozen=True)
class OpenedIndex:
    """An index that is up to date, and sentences for people about what was not as it should be."""

    index: RepositoryIndex
    notices: tuple[str, ...]


def index_file(root: Path) -> Path:
    """Where the index of a repository lies: in the user's cache, never in the repository."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    return user_cache_path("attune", appauthor=False) / "index" / f"{digest}.sqlite"


def may_be_indexed(root: Path) -> bool:
    """Whether a folder can be somebody's project: not the root of the disk, not a home."""
    resolved = root.resolve()
    home = Path(os.path.expanduser("~"))  # Path.home() raises for a user that nobody knows
    return resolved.is_dir() and resolved.parent != resolved and resolved != home.resolve()


def open_index(root: Path, progress: Progress = lambda done, total: None) -> OpenedIndex:
    """The index of a repository, brought up to date.

    A damaged one is built again; without a place to write, it is built in memory.
    """
    notices = []
    file = index_file(root)
    try:
        index, damaged = writable_index(file)
        if damaged:
            notices.append(DAMAGED)
    except (OSError, sqlite3.Error) as error:
        notices.append(NO_PLACE.format(error))
        index = RepositoryIndex()
    try:
        refreshed = index.refresh(root, progress)
    except sqlite3.Error as error:  # full disk, or damage that opening did not see
        index.close()
        notices.append(NO_PLACE.format(error))
        index = RepositoryIndex()
        refreshed = index.refresh(root, progress)
    if refreshed.notice is not None:
        notices.append(refreshed.notice)
    return OpenedIndex(index, tuple(notices))


def writable_index(file: Path) -> tuple[RepositoryIndex, bool]:
    """The index in `file`, made if absent or damaged, and whether it was damaged.

    Raises `OSError` or `sqlite3.Error` if there is no place for it.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        index = RepositoryIndex(file)
        index.check()
        return index, False
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        for suffix in SIDE_FILES:
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        return RepositoryIndex(file), not isinstance(error, OtherVersionError)
