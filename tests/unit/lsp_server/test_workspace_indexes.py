"""One index for each repository of the workspace."""

from pathlib import Path

import pytest

from code_context.syntax import parse
from completion.request import CompletionRequest
from lsp_server import workspace_indexes
from lsp_server.index_client import IndexProgress
from lsp_server.workspace_indexes import MAX_INDEXES, WorkspaceIndexes


class FakeClient:
    """Stands for the index process of a folder."""

    running: list["FakeClient"]

    def __init__(self, root, on_progress, on_notice) -> None:
        self.root = root
        self.report = on_progress
        self.running.append(self)

    def retriever(self, request):
        return self.root

    def close(self) -> None:
        self.running.remove(self)


@pytest.fixture
def running(monkeypatch) -> list[FakeClient]:
    FakeClient.running = []
    monkeypatch.setattr(workspace_indexes, "WorkspaceIndexClient", FakeClient)
    return FakeClient.running


def request(root: Path | None) -> CompletionRequest:
    return CompletionRequest("", "a.py", 0, root=root)


def folders(tmp_path: Path, count: int) -> list[Path]:
    folders = [tmp_path / str(number) for number in range(count)]
    for folder in folders:
        folder.mkdir()
    return folders


def test_every_folder_is_indexed_and_retrieves_its_own(tmp_path, running):
    first, second, third = folders(tmp_path, 3)
    indexes = WorkspaceIndexes([first, second], lambda progress: None)
    assert [client.root for client in running] == [first, second]
    for root in (second, first, third):
        assert indexes.retriever(request(root)) == root
    assert len(running) == 3
    assert indexes.retriever(request(None)) is None
    assert indexes.retriever(request(Path("/"))) is None
    indexes.close()
    assert running == []


def test_the_least_recently_used_index_ends_first(tmp_path, running):
    roots = folders(tmp_path, MAX_INDEXES + 1)
    indexes = WorkspaceIndexes(roots[:-1], lambda progress: None)
    indexes.retriever(request(roots[0]))
    indexes.retriever(request(roots[-1]))
    assert {client.root for client in running} == {*roots} - {roots[1]}


def test_progress_is_that_of_all_indexes(tmp_path, running):
    reports: list[IndexProgress | None] = []
    WorkspaceIndexes(folders(tmp_path, 2), reports.append)
    first, second = running
    first.report(IndexProgress(1, 10))
    second.report(IndexProgress(2, 20))
    first.report(None)
    second.report(None)
    assert reports == [IndexProgress(1, 10), IndexProgress(3, 30), IndexProgress(2, 20), None]


TEXT = "from store import Store\n\nstore = Store("


@pytest.mark.slow
def test_files_of_the_same_name_in_two_folders(tmp_path):
    """With real index processes: each document gets the definition of its own folder."""
    roots = folders(tmp_path, 2)
    for root in roots:
        (root / "store.py").write_text(
            f"class Store:\n    def in_{root.name}(self):\n        pass\n"
        )
    indexes = WorkspaceIndexes(roots, lambda progress: None)
    for root in (*roots, roots[0]):
        at = CompletionRequest(TEXT, "main.py", len(TEXT), documents={}, root=root)
        texts = ""
        while not texts:
            if (retriever := indexes.retriever(at)) is not None:
                snippets = retriever.snippets(parse(TEXT, "python"), "main.py", len(TEXT))
                texts = "".join(snippet.text for snippet in snippets if snippet.path != "main.py")
        assert f"in_{root.name}" in texts
        assert "in_0" not in texts or "in_1" not in texts
    indexes.close()
