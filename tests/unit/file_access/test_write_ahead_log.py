"""Connections that switch the write-ahead log on at once."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from file_access.write_ahead_log import use_write_ahead_log


def test_waits_for_a_lock(tmp_path: Path) -> None:
    """SQLite itself gives up at once, whatever the connection's timeout."""
    file = tmp_path / "file.sqlite"
    options = {"isolation_level": None, "check_same_thread": False}
    with (
        closing(sqlite3.connect(file, **options)) as locker,
        closing(sqlite3.connect(file, **options)) as connection,
        ThreadPoolExecutor(1) as executor,
    ):
        locker.execute("CREATE TABLE t (x)")
        locker.execute("BEGIN")
        locker.execute("SELECT * FROM t").fetchall()
        refused = threading.Event()

        def execute() -> None:
            with pytest.raises(sqlite3.OperationalError):
                use_write_ahead_log(connection, timeout=0)
            refused.set()
            use_write_ahead_log(connection, timeout=60)

        waiting = executor.submit(execute)
        assert refused.wait(60)
        locker.execute("COMMIT")
        waiting.result()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_gives_up_after_its_timeout(tmp_path: Path) -> None:
    file = tmp_path / "file.sqlite"
    with (
        closing(sqlite3.connect(file, isolation_level=None)) as locker,
        closing(sqlite3.connect(file, isolation_level=None)) as connection,
    ):
        locker.execute("CREATE TABLE t (x)")
        locker.execute("BEGIN")
        locker.execute("SELECT * FROM t").fetchall()
        with pytest.raises(sqlite3.OperationalError):
            use_write_ahead_log(connection, timeout=0.05)
