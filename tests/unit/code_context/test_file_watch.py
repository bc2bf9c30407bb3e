"""Watching: which events are queued, and how an incomplete watch is noticed."""

import logging
import queue
from pathlib import Path

import pytest
from watchdog.events import (
    DirDeletedEvent,
    DirModifiedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileOpenedEvent,
)

from code_context import file_watch
from code_context.file_watch import NOT_ALL_WATCHED, ChangeHandler, ChangeQueue, FileWatch


def queued(changes: ChangeQueue) -> list[str | None]:
    return [changes.get_nowait() for _ in range(changes.qsize())]


def test_relevant_events_are_queued(tmp_path: Path) -> None:
    changes: ChangeQueue = queue.Queue()
    handler = ChangeHandler(tmp_path, changes)
    for event in (
        FileOpenedEvent(str(tmp_path / "a.py")),
        FileModifiedEvent(str(tmp_path / "notes.txt")),
        FileModifiedEvent(str(tmp_path / ".git" / "hook.py")),
        FileModifiedEvent(str(tmp_path / "a.py")),
        FileModifiedEvent(str(tmp_path / "caf\udce9.py")),
        FileMovedEvent(str(tmp_path / "b.py"), str(tmp_path.parent / "b.py")),
        FileCreatedEvent(str(tmp_path / "sub" / ".gitignore")),
        DirModifiedEvent(str(tmp_path / "sub")),
        DirDeletedEvent(str(tmp_path / "sub")),
        FileModifiedEvent(str(tmp_path / ".git" / "HEAD")),
    ):
        handler.on_any_event(event)
    assert queued(changes) == ["a.py", "b.py", None, None, None]


def test_a_watch_of_all_folders_is_complete(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    changes: ChangeQueue = queue.Queue()
    watch = FileWatch(tmp_path, changes)
    assert watch.start() is None
    (tmp_path / "a" / "b" / "c.py").write_text("x = 1\n")
    assert changes.get(timeout=60) == "a/b/c.py"
    watch.stop()


def test_a_watch_of_some_folders_is_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes in 5 of 8 folders were never seen."""
    monkeypatch.setattr(file_watch, "_count_watches", lambda: 4)
    for n in range(8):
        (tmp_path / str(n)).mkdir()
    watch = FileWatch(tmp_path, queue.Queue())
    assert watch.start() == NOT_ALL_WATCHED
    watch.stop()


@pytest.mark.parametrize(
    "error", [OSError(24, "inotify instance limit reached"), RuntimeError("no more threads")]
)
def test_a_watch_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(file_watch, "Observer", fail)
    watch = FileWatch(tmp_path, queue.Queue())
    assert watch.start() in ("inotify instance limit reached", "no more threads")
    watch.stop()


def test_lost_events_ask_for_a_listing(tmp_path: Path) -> None:
    changes: ChangeQueue = queue.Queue()
    watch = FileWatch(tmp_path, changes)
    watch.start()
    logging.getLogger("watchdog.observers.inotify_c").warning("the queue overflowed")
    assert queued(changes) == [None]
    watch.stop()
