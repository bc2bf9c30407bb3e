"""The process that keeps a repository's index up to date (`python -I -m code_context.watching`).

A process of its own, so that neither reading files nor parsing them ever waits for, or stops, the
one that completes. It says on stdout, in lines of JSON, how far it is: `{"done": 3, "total": 9}`
while it looks at files, then `{"ready": true, "files": 9, "notices": []}`. It ends when its stdin
does.
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

from code_context.index import Refreshed, RepositoryIndex
from code_context.indexing import DAMAGED, index_file, writable_index
from code_context.languages import language_of

QUIET = 0.2  # seconds without a change before the whole repository is looked at again
POLL = 10.0  # seconds between two looks where the system cannot tell of changes
NO_WATCH = "Changed files cannot be watched here ({}); they are looked for every ten seconds."


class Changes(FileSystemEventHandler):
    """Puts what may matter into a queue: a path relative to the root, None for "look at it all"."""

    def __init__(self, root: Path, changed: "queue.Queue[str | None]") -> None:
        self._root = root
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Sort out one event."""
        if event.event_type in ("opened", "closed_no_write"):
            return
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        for path in paths:
            relative = Path(path).relative_to(self._root).as_posix()
            inside = relative.partition("/")[0] == ".git"
            if event.is_directory:
                # what a folder holds tells itself, except when the folder is moved or removed
                if event.event_type in ("moved", "deleted") and not inside:
                    self._changed.put(None)
            elif relative.endswith((".gitignore", ".attuneignore")) or relative == ".git/HEAD":
                self._changed.put(None)
            elif language_of(relative) is not None and not inside:
                self._changed.put(relative)


def follow(root: Path, index: RepositoryIndex, changed: "queue.Queue[str | None]") -> None:
    """Keep the index up to date with what the queue says; ends when it says "" or for ever."""
    watch_problem = None
    observer = Observer()
    try:
        observer.schedule(Changes(root, changed), str(root), recursive=True)
        observer.start()
    except OSError as error:  # too many folders for the system's limit
        watch_problem = NO_WATCH.format(error.strerror)
    refreshed = index.refresh(root, _tell_progress)
    _tell_ready(index, refreshed, watch_problem)
    everything = False
    while True:
        try:
            path = changed.get(timeout=QUIET if everything else POLL)
        except queue.Empty:
            if everything or watch_problem is not None:
                everything = False
                index.refresh(root)
            continue
        if path == "":
            break
        if path is not None and index.holds(path):
            index.update_file(root, path)
        else:  # new, or the rules have changed: whether it is ignored only a listing says
            everything = True
    observer.stop()


def main(root: Path) -> None:
    """Index `root`, then follow its changes until stdin ends."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    changed: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_until_stdin_ends, args=(changed,), daemon=True).start()
    damaged_before = 0
    while True:
        index, damaged = writable_index(index_file(root))
        if damaged:
            _tell(notice=DAMAGED)
        try:
            follow(root, index, changed)
            return
        except sqlite3.DatabaseError as error:
            index.close()
            damaged_before += 1
            if damaged_before > 3 or isinstance(error, sqlite3.OperationalError):
                _tell(notice=f"The repository index cannot be kept ({error}).")
                return
            time.sleep(QUIET)


def _until_stdin_ends(changed: "queue.Queue[str | None]") -> None:
    sys.stdin.buffer.read()
    changed.put("")
    time.sleep(2 * QUIET)
    os._exit(0)  # in the middle of a first look, which the next start goes on with


def _tell_progress(done: int, total: int) -> None:
    _tell(done=done, total=total)


def _tell_ready(index: RepositoryIndex, refreshed: Refreshed, problem: str | None) -> None:
    notices = [one for one in (refreshed.notice, problem) if one is not None]
    _tell(ready=True, files=index.file_count(), notices=notices)


def _tell(**values: object) -> None:
    print(json.dumps(values), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
