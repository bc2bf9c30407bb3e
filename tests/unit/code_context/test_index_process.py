"""The index process: progress, changed files, and its end."""

import json
import queue
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from code_context import index
from code_context.index import RepositoryIndex
from code_context.index_process import RETRY_PERIOD, keep
from code_context.index_store import DAMAGED, index_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "a.py").write_text("def first():\n    pass\n")
    return root


class Process:
    """The real process, with its messages."""

    def __init__(self, root: Path, *before: str) -> None:
        command = [*before, sys.executable, "-I", "-m", "code_context.index_process", str(root)]
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


@pytest.mark.slow
def test_a_file_whose_name_is_not_utf_8_ends_nothing(root: Path, process: Process) -> None:
    """A file with the byte E9 in its name ended the process."""
    process.ready()
    (root / "caf\udce9.py").write_text("def hidden():\n    pass\n")
    (root / "b.py").write_text("def seen():\n    pass\n")
    process.wait_for("seen")
    (root / "caf\udce9.py").unlink()
    (root / "b.py").unlink()
    process.wait_for("seen", present=False)


@pytest.mark.slow
def test_two_processes_on_one_fresh_index_work(root: Path) -> None:
    processes = [Process(root), Process(root)]
    for process in processes:
        process.ready()
    (root / "b.py").write_text("def second():\n    pass\n")
    processes[0].wait_for("second")
    assert [process.end() for process in processes] == [0, 0]


@pytest.mark.slow
def test_a_deleted_index_is_built_again(root: Path, process: Process) -> None:
    process.ready()
    for file in index_file(root).parent.glob(index_file(root).name + "*"):
        file.unlink()
    (root / "a.py").write_text("def second():\n    pass\n")
    process.ready()
    process.wait_for("second")


@pytest.mark.slow
def test_thousands_of_files_that_git_changes_are_followed(root: Path) -> None:
    """Of 9,000 files that a checkout changed, 7,166 stayed as they were in the index."""

    def git(*arguments: str) -> None:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        subprocess.run(command, cwd=root, check=True, capture_output=True)

    count = 2_000
    git("init", "-b", "main")
    for branch in ("one", "two"):
        for n in range(count):
            (root / f"m{n}.py").write_text(f"def {branch}_{n}():\n    return {n}\n")
        git("checkout", "-b", branch)
        git("add", ".")
        git("commit", "-m", branch)
    process = Process(root)
    process.ready()
    git("checkout", "one")
    reader = RepositoryIndex(index_file(root), read_only=True)
    for n in range(count):
        while not reader.definitions(f"one_{n}"):
            reader.drop_stale_cache()
    assert process.end() == 0


LIMITS = [
    ("max_inotify_instances", 0, "instance limit reached"),
    ("max_inotify_watches", 1, "not all folders can be watched"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "value", "notice"), LIMITS)
def test_limits_of_inotify_are_told(root: Path, limit: str, value: int, notice: str) -> None:
    unshare = ["unshare", "-Ur", "sh", "-c", f'echo {value} > /proc/sys/user/{limit} && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*unshare, "-", "true"]).returncode:
        pytest.skip("this system lets no user namespace have its own limits")
    (root / "package").mkdir()
    process = Process(root, *unshare, "-")
    (problem,) = process.ready()[-1]["notices"]
    assert notice in problem
    process.wait_for("first")
    process.end()


def test_an_index_that_cannot_be_kept_on_disk_is_a_failure(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    assert not keep(root, queue.Queue())
    assert json.loads(capsys.readouterr().out) == {"failure": "Not a directory"}


def test_a_lock_of_another_process_is_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lock of more than five seconds ended the process for good."""
    monkeypatch.setattr(index, "WRITE_TIMEOUT", 0.01)
    file = index_file(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    RepositoryIndex(file).close()
    locker = sqlite3.connect(file, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    pauses: list[float] = []

    def release(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            locker.execute("COMMIT")

    changes: queue.Queue[str | None] = queue.Queue()
    changes.put("")
    assert keep(root, changes, release)
    assert pauses == [RETRY_PERIOD, RETRY_PERIOD]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ready"]
    locker.close()
