"""The other files while serving: from an index that another process keeps, with open documents."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from code_context.index_store import index_file, is_indexable
from code_context.syntax import parse
from completion.request import CompletionRequest
from completion.status import Status
from lsp_server import index_client as module
from lsp_server.index_client import WorkspaceIndexClient

READY = Status("Normal", False, "Ready.")
TEXT = "from store import Store\n\nstore = Store("


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "space"
    root.mkdir()
    (root / "store.py").write_text("class Store:\n    def on_disk(self):\n        pass\n")
    return root


@pytest.fixture
def told() -> Queue[Status]:
    return Queue()


@pytest.fixture
def neighbours(root: Path, told: Queue[Status]) -> Iterator[WorkspaceIndexClient]:
    found = WorkspaceIndexClient(root, told.put)
    yield found
    found.close()


def shown(neighbours: WorkspaceIndexClient, documents: dict[str, str] | None = None) -> str:
    """What is shown of other files; waits for the index."""
    request = CompletionRequest(TEXT, "main.py", len(TEXT), documents=documents)
    while True:
        repository = neighbours.repository(request)
        if repository is not None:
            found = repository.snippets(parse(TEXT, "python"), "main.py", len(TEXT))
            if others := [one.text for one in found if one.path != "main.py"]:
                return "".join(others)


@pytest.mark.slow
def test_files_and_open_documents_speak(neighbours: WorkspaceIndexClient) -> None:
    assert "on_disk" in shown(neighbours)
    unsaved = {"store.py": "class Store:\n    def unsaved(self):\n        pass\n"}
    assert "unsaved" in shown(neighbours, unsaved)
    assert "unsaved" in shown(neighbours), "a request that knows nothing new changes nothing"
    assert "on_disk" in shown(neighbours, {})


@pytest.mark.slow
def test_an_index_put_in_place_of_another_is_taken_up(
    neighbours: WorkspaceIndexClient, root: Path
) -> None:
    assert "on_disk" in shown(neighbours)
    neighbours.close()
    index_file(root).write_bytes(b"damaged" * 999)
    second = WorkspaceIndexClient(root, lambda status: None)
    assert "on_disk" in shown(second)
    assert "on_disk" in shown(neighbours)
    second.close()


@pytest.mark.slow
def test_progress_stands_behind_the_status(
    neighbours: WorkspaceIndexClient, told: Queue[Status]
) -> None:
    neighbours.tell(READY)
    neighbours._heard({"done": 3, "total": 9})
    neighbours._heard({"done": 9, "total": 9})
    seen = [told.get(timeout=60)]
    while seen[-1] != READY or len(seen) < 3:
        seen.append(told.get(timeout=60))
    assert Status("Normal", True, "Ready (indexing 3 of 9 files).") in seen


def test_a_home_or_a_disk_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not is_indexable(tmp_path)
    assert not is_indexable(Path("/"))
    assert not is_indexable(tmp_path / "none")
    (tmp_path / "project").mkdir()
    assert is_indexable(tmp_path / "project")


def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever when the server ends."""
    monkeypatch.setattr(module, "END_SECONDS", 0.1)
    deaf = subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.PIPE)
    module._end(deaf)
    assert deaf.returncode == -signal.SIGKILL
