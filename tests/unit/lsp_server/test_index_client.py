"""Retrieval while serving: from the index that another process writes, with open documents."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest

from code_context import file_listing
from code_context.index import RepositoryIndex
from code_context.index_store import index_file
from code_context.repository_root import is_indexable
from code_context.syntax import parse
from completion.request import CompletionRequest
from lsp_server import index_supervisor, memory_index
from lsp_server.index_client import (
    IN_MEMORY,
    IndexProgress,
    IndexReader,
    OpenDocuments,
    WorkspaceIndexClient,
)

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


@pytest.mark.parametrize("has_git", [True, False])
def test_an_ignored_or_secret_document_is_not_shown_in_others(root: Path, has_git: bool) -> None:
    """Also while it is open, and before it is saved."""
    if has_git:
        subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / ".gitignore").write_text("local_*\n")
    (root / ".attuneignore").write_text("private/\n")
    left_out = ["local_settings.py", "private/a.py", "venv/b.py", ".env", "a/.env.local", "x.pem"]
    shown = ["store.py", "new/unsaved.py", "environment.py"]
    documents = OpenDocuments(root)
    for _ in range(2):
        texts = dict.fromkeys([*left_out, *shown], "x = 1\n")
        assert sorted(documents.shown(texts)) == sorted(shown)
    (root / ".gitignore").unlink()
    assert "local_settings.py" in documents.shown(texts)
    (root / "new").mkdir()
    (root / "new" / ".attuneignore").write_text("*\n")
    assert "new/unsaved.py" not in documents.shown(texts)
    (root / "new" / ".attuneignore").write_text("!*\n*.toml\n")
    assert "new/unsaved.py" in documents.shown(texts)


def test_if_git_does_not_answer_no_document_is_shown(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    os.mkfifo(root / ".gitignore")
    monkeypatch.setattr(file_listing, "QUICK_S", 0.5)
    assert OpenDocuments(root).shown({"store.py": ""}) == {}


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


@pytest.mark.skipif(sys.platform != "linux", reason="it counts open files in /proc")
def test_an_index_that_is_opened_again_leaves_no_file_open(tmp_path: Path) -> None:
    """Not even until garbage is collected: a busy server would have hundreds open."""
    file = tmp_path / "index.sqlite"
    writer = RepositoryIndex(file)
    writer.put("a.py", "def f():\n    pass\n")
    reader = IndexReader(file)
    gc.disable()
    try:
        opened = []
        for _ in range(5):
            retriever = reader.open()
            assert retriever is not None
            retriever.problem = "it was damaged"
            opened.append(len(os.listdir("/proc/self/fd")))
    finally:
        gc.enable()
    assert opened[-1] == opened[1]  # SQLite keeps one for its locks
    writer.close()


def test_progress_is_reported_when_it_changes(
    tmp_path: Path, root: Path, progress: Queue[IndexProgress | None], monkeypatch
) -> None:
    process = tmp_path / "index-process"
    lines = ['{"done": 3, "total": 9}'] * 2 + ['{"done": 5, "total": 9}', '{"ready": true}']
    script = "#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines) + "cat\n"
    process.write_text(script)
    process.chmod(0o755)
    monkeypatch.setattr(index_supervisor.sys, "executable", str(process))
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


@pytest.fixture
def without_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No index can be kept on disk: the cache folder is below a regular file."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))


def test_without_a_disk_the_index_is_in_memory(
    without_disk: None, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_index, "POLL_PERIOD", 0.01)
    notices: Queue[tuple[str, str]] = Queue()
    client = WorkspaceIndexClient(
        root, lambda progress: None, lambda notice, kind: notices.put((notice, kind))
    )
    notice = notices.get(timeout=60)
    assert notice == (IN_MEMORY.format("Not a directory"), "Warning")
    assert "on_disk" in retrieved(client)
    (root / "store.py").write_text("class Store:\n    def changed_later(self):\n        pass\n")
    while "changed_later" not in retrieved(client):
        pass
    client.close()
    assert notices.empty(), "one notice"


def test_without_any_index_there_is_no_context(
    without_disk: None, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(memory_index, "refresh", fail)
    notices: Queue[str] = Queue()
    client = WorkspaceIndexClient(
        root, lambda progress: None, lambda notice, kind: notices.put(notice)
    )
    texts = {notices.get(timeout=60), notices.get(timeout=60)}
    assert any(text.startswith("There is no repository index (MemoryError") for text in texts)
    assert client.retriever(CompletionRequest(TEXT, "main.py", len(TEXT))) is None
    client.close()


@pytest.mark.slow
def test_a_killed_process_is_replaced_and_goes_on(
    client: WorkspaceIndexClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "on_disk" in retrieved(client)
    process = client._supervisor._process
    assert process is not None
    process.kill()
    process.wait()
    (root / "store.py").write_text("class Store:\n    def changed_later(self):\n        pass\n")
    while "changed_later" not in retrieved(client):
        pass


def test_lasting_problems_are_notices(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = tmp_path / "index-process"
    process.write_text('#!/bin/sh\necho \'{"ready": true, "notices": ["Not watched."]}\'\ncat\n')
    process.chmod(0o755)
    monkeypatch.setattr(index_supervisor.sys, "executable", str(process))
    notices: Queue[tuple[str, str]] = Queue()
    client = WorkspaceIndexClient(
        root, lambda progress: None, lambda notice, kind: notices.put((notice, kind))
    )
    assert notices.get(timeout=60) == ("Not watched.", "Normal")
    client.close()
