"""Retrieval while serving: from the index that another process writes, with open documents."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from code_context.index_store import index_file
from code_context.repository_root import is_indexable
from code_context.syntax import parse
from completion.request import CompletionRequest
from lsp_server import index_client
from lsp_server.index_client import IndexProgress, WorkspaceIndexClient

TEXT = "from store import Store\n\nstore = Store("


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "space"
    root.mkdir()
    (root / "store.py").write_text("class Store:\n    def on_disk(self):\n        pass\n")
    return root


@pytest.fixture
def progress() -> Queue[IndexProgress | None]:
    return Queue()


@pytest.fixture
def client(root: Path, progress: Queue[IndexProgress | None]) -> Iterator[WorkspaceIndexClient]:
    client = WorkspaceIndexClient(root, progress.put)
    yield client
    client.close()


def retrieved(client: WorkspaceIndexClient, documents: dict[str, str] | None = None) -> str:
    """The snippets of other files; waits for the index."""
    request = CompletionRequest(TEXT, "main.py", len(TEXT), documents=documents)
    while True:
        retriever = client.retriever(request)
        if retriever is not None:
            snippets = retriever.snippets(parse(TEXT, "python"), "main.py", len(TEXT))
            if texts := [snippet.text for snippet in snippets if snippet.path != "main.py"]:
                return "".join(texts)


@pytest.mark.slow
def test_open_documents_replace_saved_files(client: WorkspaceIndexClient) -> None:
    assert "on_disk" in retrieved(client)
    unsaved = {"store.py": "class Store:\n    def unsaved(self):\n        pass\n"}
    assert "unsaved" in retrieved(client, unsaved)
    assert "unsaved" in retrieved(client), "None means that no document has changed"
    assert "on_disk" in retrieved(client, {})


@pytest.mark.slow
def test_a_revision_does_not_replace_the_file(client: WorkspaceIndexClient) -> None:
    assert "on_disk" in retrieved(client)
    now = "class Store:\n    def now(self):\n        pass\n"
    old = CompletionRequest(
        "class Store:\n    def old(self):\n        pass\n",
        "store.py",
        0,
        documents={"store.py": now},
        uri="git:/space/store.py?HEAD",
    )
    assert client.retriever(old) is not None
    assert "now" in retrieved(client)


@pytest.mark.slow
def test_a_replaced_index_file_is_reopened(client: WorkspaceIndexClient, root: Path) -> None:
    assert "on_disk" in retrieved(client)
    client.close()
    index_file(root).write_bytes(b"damaged" * 999)
    second = WorkspaceIndexClient(root, lambda progress: None)
    assert "on_disk" in retrieved(second)
    assert "on_disk" in retrieved(client)
    second.close()


def test_progress_is_reported_when_it_changes(
    tmp_path: Path, root: Path, progress: Queue[IndexProgress | None], monkeypatch
) -> None:
    process = tmp_path / "index-process"
    lines = ['{"done": 3, "total": 9}'] * 2 + ['{"done": 5, "total": 9}', '{"ready": true}']
    script = "#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines) + "cat\n"
    process.write_text(script)
    process.chmod(0o755)
    monkeypatch.setattr(index_client.sys, "executable", str(process))
    client = WorkspaceIndexClient(root, progress.put)
    reported = [progress.get(timeout=60) for _ in range(3)]
    assert reported == [IndexProgress(3, 9), IndexProgress(5, 9), None]
    client.close()
    assert progress.empty()


def test_a_home_or_a_disk_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not is_indexable(tmp_path)
    assert not is_indexable(Path("/"))
    assert not is_indexable(tmp_path / "none")
    (tmp_path / "project").mkdir()
    assert is_indexable(tmp_path / "project")


def test_a_process_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_client, "EXIT_TIMEOUT_S", 0.1)
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.PIPE)
    index_client._stop(process)
    assert process.returncode == -signal.SIGKILL
