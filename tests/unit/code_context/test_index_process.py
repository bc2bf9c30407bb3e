"""The index process: progress, changed files, and its end."""

import json
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import FileCreatedEvent, FileModifiedEvent, FileOpenedEvent

from code_context.index import RepositoryIndex
from code_context.index_process import ChangeHandler
from code_context.index_store import DAMAGED, index_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "a.py").write_text("def first():\n    pass\n")
    return root


class Process:
    """The real process, with its messages."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-I", "-m", "code_context.index_process", str(root)]
        self._root = root
        self._running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ready(self) -> list[dict[str, Any]]:
        """All messages up to the one that says that the index is ready."""
        messages: list[dict[str, Any]] = []
        assert self._running.stdout is not None
        while not messages or "ready" not in messages[-1]:
            messages.append(json.loads(self._running.stdout.readline()))
        return messages

    def wait_for(self, name: str, present: bool = True) -> None:
        """Wait until a definition is in the index, or no longer; limited by the test's timeout."""
        index = RepositoryIndex(index_file(self._root), read_only=True)
        while bool(index.definitions(name)) is not present:
            index.drop_stale_cache()
        index.close()

    def end(self) -> int:
        assert self._running.stdin is not None
        self._running.stdin.close()
        code = self._running.wait(30)
        assert self._running.stdout is not None
        self._running.stdout.close()
        return code


@pytest.fixture
def process(root: Path) -> Iterator[Process]:
    running = Process(root)
    yield running
    assert running.end() == 0


@pytest.mark.slow
def test_changed_files_are_indexed(root: Path, process: Process) -> None:
    *progress, ready = process.ready()
    assert progress[-1] == {"done": 1, "total": 1}
    assert ready == {"ready": True, "files": 1, "notices": []}
    process.wait_for("first")
    (root / "a.py").write_text("def second():\n    pass\n")
    process.wait_for("second")
    process.wait_for("first", present=False)
    (root / "package").mkdir()
    (root / "package" / "b.py").write_text("def third():\n    pass\n")
    process.wait_for("third")
    (root / ".attuneignore").write_text("package/\n")
    process.wait_for("third", present=False)
    (root / "a.py").unlink()
    process.wait_for("second", present=False)


@pytest.mark.slow
def test_a_damaged_index_is_rebuilt_with_a_notice(root: Path) -> None:
    index_file(root).parent.mkdir(parents=True, exist_ok=True)
    index_file(root).write_bytes(b"no database" * 999)
    process = Process(root)
    messages = process.ready()
    assert {"notice": DAMAGED} in messages
    process.wait_for("first")
    assert process.end() == 0


def test_relevant_events_are_queued(root: Path) -> None:
    changes: queue.Queue[str | None] = queue.Queue()
    handler = ChangeHandler(root, changes)
    for event in (
        FileOpenedEvent(str(root / "a.py")),
        FileModifiedEvent(str(root / "notes.txt")),
        FileModifiedEvent(str(root / ".git" / "hook.py")),
        FileModifiedEvent(str(root / "a.py")),
        FileCreatedEvent(str(root / "sub" / ".gitignore")),
        FileModifiedEvent(str(root / ".git" / "HEAD")),
    ):
        handler.on_any_event(event)
    assert [changes.get_nowait() for _ in range(changes.qsize())] == ["a.py", None, None]
