"""Watch a repository for changes that concern its index.

A watch is incomplete where the system's limits are reached, and no events arrive from some network
file systems. So whoever uses it must also list the files from time to time.
"""

import contextlib
import logging
import os
import queue
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from code_context.languages import language_of

ChangeQueue = queue.Queue[str | None]
"""Changed paths relative to the root; None: list the whole repository again; "": stop."""

PROCESS_FILES = Path("/proc/self/fdinfo")
NOT_ALL_WATCHED = "not all folders can be watched; the system has a limit"


class ChangeHandler(FileSystemEventHandler):
    """Puts relevant file system events into a queue."""

    def __init__(self, root: Path, changes: ChangeQueue) -> None:
        self._root = root
        self._changes = changes

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Queue what changed, if it concerns the index."""
        if event.event_type in ("opened", "closed_no_write"):
            return
        for path in (event.src_path, event.dest_path):
            if path:
                self._queue(Path(os.fsdecode(path)), event)

    def _queue(self, path: Path, event: FileSystemEvent) -> None:
        if not path.is_relative_to(self._root):  # moved out of the repository
            return
        relative = path.relative_to(self._root).as_posix()
        is_in_git = relative.partition("/")[0] == ".git"
        if event.is_directory:
            # files in a folder have their own events, unless the folder is moved or deleted
            if event.event_type in ("moved", "deleted") and not is_in_git:
                self._changes.put(None)
        elif relative.endswith((".gitignore", ".attuneignore")) or relative == ".git/HEAD":
            self._changes.put(None)
        elif language_of(relative) is not None and not is_in_git and _is_utf8(relative):
            self._changes.put(relative)


class LostEvents(logging.Handler):
    """Asks for a listing when watchdog logs that events were lost."""

    def __init__(self, changes: ChangeQueue) -> None:
        super().__init__(logging.WARNING)
        self._changes = changes

    def emit(self, record: logging.LogRecord) -> None:
        """Whatever the record says: watchdog warns only of events that are missing."""
        self._changes.put(None)


class FileWatch:
    """Reports changes below a folder to a queue."""

    def __init__(self, root: Path, changes: ChangeQueue) -> None:
        self._root = root
        self._changes = changes
        self._lost = LostEvents(changes)
        self._observer: BaseObserver | None = None

    def start(self) -> str | None:
        """Start watching. Returns why changes can be missed, None if nothing speaks for it."""
        logger = logging.getLogger("watchdog")
        logger.addHandler(self._lost)
        logger.propagate = False  # its records have paths
        try:
            observer = Observer()
            observer.schedule(
                ChangeHandler(self._root, self._changes), str(self._root), recursive=True
            )
            observer.start()
        except (OSError, RuntimeError) as error:  # a limit on instances, watches or threads
            return getattr(error, "strerror", None) or str(error)
        self._observer = observer
        watched = _count_watches()
        if watched is not None and watched < _count_folders(self._root):
            return NOT_ALL_WATCHED
        return None

    def stop(self) -> None:
        """Stop watching."""
        logging.getLogger("watchdog").removeHandler(self._lost)
        if self._observer is not None:
            self._observer.stop()


def _is_utf8(path: str) -> bool:
    """Whether a path is UTF-8 on disk: others are never indexed."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count_watches() -> int | None:
    """The number of inotify watches of this process; None where the system does not tell."""
    try:
        files = list(PROCESS_FILES.iterdir())
    except OSError:
        return None
    count = 0
    for file in files:
        with contextlib.suppress(OSError):  # closed meanwhile
            count += file.read_bytes().count(b"inotify wd:")
    return count


def _count_folders(root: Path) -> int:
    """The number of readable folders below `root`, including itself."""
    return sum(os.access(folder, os.R_OK | os.X_OK) for folder, _, _ in os.walk(root))
