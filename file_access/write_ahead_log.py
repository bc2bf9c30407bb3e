"""SQLite's write-ahead log, switched on while other connections may want the same."""

import sqlite3
import time

POLL_S = 0.01


def use_write_ahead_log(connection: sqlite3.Connection, timeout: float) -> None:
    """Let readers and one writer work at the same time; waits up to `timeout` seconds for a lock.

    SQLite does not call its busy handler for this change, because two connections that both want
    it would wait for each other. Raises `sqlite3.OperationalError` if the file stays locked.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
