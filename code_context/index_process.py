"""The process that keeps a repository's index up to date.

Started as `python -I -m code_context.index_process ROOT`, separate from the language server so that
reading and parsing files never delays completions. It reports in lines of JSON on stdout:
`{"done": 3, "total": 9}` while it indexes, `{"ready": true, "files": 9, "notices": []}` when the
index is up to date, problems that are over as `{"notice": "..."}`, lasting ones as
`{"notices": ["..."]}`, and `{"failure": "..."}` before it ends because no index can be kept on
disk. `{"alive": true}` is a sign of life. It ends when its stdin ends.
"""

import contextlib
import json
import os
import queue
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from code_context.file_watch import ChangeQueue, FileWatch
from code_context.index import RepositoryIndex
from code_context.index_follower import IndexFollower
from code_context.index_store import DAMAGED, index_file, open_or_rebuild

MAX_REBUILDS = 3
ALIVE_PERIOD = 60.0  # seconds between two signs of life, unless one step takes longer
RETRY_PERIOD = 5.0  # seconds, while another process holds a lock
EXIT_GRACE = 0.4  # seconds for the current file, after stdin has ended
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
NO_WATCH = "Changed files cannot be watched here ({}); they are searched for every ten seconds."
NO_EVENTS = "the system does not report all of them"


def follow(root: Path, index: RepositoryIndex, changes: ChangeQueue) -> bool:
    """Keep the index up to date until the queue says stop; True if its file was replaced."""
    watch = FileWatch(root, changes)
    problem = watch.start()
    try:
        follower = IndexFollower(root, index, is_polling=problem is not None)
        result = follower.list_files(_report_progress)
        notices = [] if problem is None else [NO_WATCH.format(problem)]
        if result.notice is not None:
            notices.append(result.notice)
        _report(ready=True, files=index.file_count(), notices=notices)
        said_at = time.monotonic()
        while True:
            try:
                path = changes.get(timeout=min(follower.wait(), ALIVE_PERIOD))
                if path == "":
                    return False
                follower.changed(path)
            except queue.Empty:
                pass
            if index.is_replaced():
                return True
            was_polling = follower.is_polling
            follower.update()
            if time.monotonic() - said_at >= ALIVE_PERIOD / 2:
                _report(alive=True)
                said_at = time.monotonic()
            if follower.is_polling and not was_polling:
                _report(notices=[NO_WATCH.format(NO_EVENTS)])
    finally:
        watch.stop()


def keep(root: Path, changes: ChangeQueue, pause: Callable[[float], object] = time.sleep) -> bool:
    """Open the index of `root` and follow changes, again after problems that pass.

    Returns False if no index can be kept on disk, which is reported.
    """
    rebuilds = 0
    while True:
        index = None
        try:
            index, was_damaged = open_or_rebuild(index_file(root))
            if was_damaged:
                _report(notice=DAMAGED)
            if not follow(root, index, changes):
                return True
        except (OSError, sqlite3.Error) as error:
            code = getattr(error, "sqlite_errorcode", None)
            is_damage = isinstance(error, sqlite3.DatabaseError) and not isinstance(
                error, sqlite3.OperationalError
            )
            rebuilds += is_damage
            if code not in BUSY and (not is_damage or rebuilds > MAX_REBUILDS):
                _report(failure=getattr(error, "strerror", None) or str(error))
                return False
            if code in BUSY:
                _report(alive=True)
                pause(RETRY_PERIOD)
        finally:
            if index is not None:
                index.close()


def main(root: Path) -> int:
    """Index `root`, then follow its changes until stdin ends. Returns the exit status."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    changes: ChangeQueue = queue.Queue()
    threading.Thread(target=_stop_at_end_of_stdin, args=(changes,), daemon=True).start()
    return 0 if keep(root, changes) else 1


def _stop_at_end_of_stdin(changes: ChangeQueue) -> None:
    # not through sys.stdin: its lock would abort the interpreter's exit
    while os.read(0, 4096):
        pass
    changes.put("")
    time.sleep(EXIT_GRACE)
    os._exit(0)  # during the first indexing, which the next process continues


def _report_progress(done: int, total: int) -> None:
    _report(done=done, total=total)


def _report(**values: object) -> None:
    print(json.dumps(values), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
