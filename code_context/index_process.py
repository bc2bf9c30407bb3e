"""The process that keeps a repository's index up to date.

Started as `python -I -m code_context.index_process ROOT`, separate from the language server so that
reading and parsing files never delays completions. It reports in lines of JSON on stdout:
`{"done": 3, "total": 9}` while it indexes, `{"ready": true, "files": 9, "notices": []}` when the
index is up to date, and problems as `{"notice": "..."}`. It ends when its stdin ends.
"""

import contextlib
import json
import os
import queue
import sqlite3
import sys
import threading
import time
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from code_context.index import RepositoryIndex
from code_context.index_refresh import RefreshResult, refresh, refresh_file
from code_context.index_store import DAMAGED, index_file, open_or_rebuild
from code_context.languages import language_of

QUIET = 0.2  # seconds without a change before the repository is listed again
POLL = 10.0  # seconds between listings where the system cannot report changes
MAX_REBUILDS = 3
NO_WATCH = "Changed files cannot be watched here ({}); they are searched for every ten seconds."

ChangeQueue = queue.Queue[str | None]
"""Changed paths relative to the root; None: list the whole repository again; "": stop."""


class ChangeHandler(FileSystemEventHandler):
    """Puts relevant file system events into a queue."""

    def __init__(self, root: Path, changes: ChangeQueue) -> None:
        self._root = root
        self._changes = changes

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Queue what changed, if it concerns the index."""
        if event.event_type in ("opened", "closed_no_write"):
            return
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        for path in paths:
            relative = Path(path).relative_to(self._root).as_posix()
            is_in_git = relative.partition("/")[0] == ".git"
            if event.is_directory:
                # files in a folder have their own events, unless the folder is moved or deleted
                if event.event_type in ("moved", "deleted") and not is_in_git:
                    self._changes.put(None)
            elif relative.endswith((".gitignore", ".attuneignore")) or relative == ".git/HEAD":
                self._changes.put(None)
            elif language_of(relative) is not None and not is_in_git:
                self._changes.put(relative)


def follow(root: Path, index: RepositoryIndex, changes: ChangeQueue) -> None:
    """Keep the index up to date with the queued changes until the queue says stop."""
    watch_problem = None
    observer = Observer()
    try:
        observer.schedule(ChangeHandler(root, changes), str(root), recursive=True)
        observer.start()
    except OSError as error:  # more folders than the system can watch
        watch_problem = NO_WATCH.format(error.strerror)
    result = refresh(index, root, _report_progress)
    _report_ready(index, result, watch_problem)
    refresh_all = False
    while True:
        try:
            path = changes.get(timeout=QUIET if refresh_all else POLL)
        except queue.Empty:
            if refresh_all or watch_problem is not None:
                refresh_all = False
                refresh(index, root)
            continue
        if path == "":
            break
        if path is not None and index.contains(path):
            refresh_file(index, root, path)
        else:  # a new file may be ignored, or the ignore rules changed: only a listing tells
            refresh_all = True
    observer.stop()


def main(root: Path) -> None:
    """Index `root`, then follow its changes until stdin ends."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    changes: ChangeQueue = queue.Queue()
    threading.Thread(target=_stop_at_end_of_stdin, args=(changes,), daemon=True).start()
    rebuilds = 0
    while True:
        index, was_damaged = open_or_rebuild(index_file(root))
        if was_damaged:
            _report(notice=DAMAGED)
        try:
            follow(root, index, changes)
            return
        except sqlite3.DatabaseError as error:
            index.close()
            rebuilds += 1
            if rebuilds > MAX_REBUILDS or isinstance(error, sqlite3.OperationalError):
                _report(notice=f"The repository index cannot be kept ({error}).")
                return
            time.sleep(QUIET)


def _stop_at_end_of_stdin(changes: ChangeQueue) -> None:
    sys.stdin.buffer.read()
    changes.put("")
    time.sleep(2 * QUIET)
    os._exit(0)  # during the first indexing, which the next process continues


def _report_progress(done: int, total: int) -> None:
    _report(done=done, total=total)


def _report_ready(index: RepositoryIndex, result: RefreshResult, problem: str | None) -> None:
    notices = [notice for notice in (result.notice, problem) if notice is not None]
    _report(ready=True, files=index.file_count(), notices=notices)


def _report(**values: object) -> None:
    print(json.dumps(values), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
