"""A document is its URI: folders with the same names in them, revisions and links stay apart."""

from pathlib import Path

import pytest


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two workspace folders with files of the same names."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        for name in ("app.py", "models.py"):
            (folder / name).write_text(f"# {folder.name} on disk\n")
    return folders


@pytest.fixture
async def workspace(fresh, folders, model):
    """A client whose server has both folders, and which suggests nothing."""
    model.answer = lambda request: ""
    params = {
        "processId": None,
        "capabilities": {},
        "workspaceFolders": [{"uri": folder.as_uri(), "name": folder.name} for folder in folders],
    }
    await fresh.request("initialize", params)
    fresh.notify("initialized", {})
    await fresh.settled()
    return fresh


async def complete(client, uri: str) -> None:
    await client.complete(0, 0, uri=uri, invoked=True)


async def test_each_folder_sees_its_own_documents(workspace, folders, model, opened_with):
    assert opened_with[0][1] == folders
    for folder in folders:
        for name in ("app.py", "models.py"):
            workspace.open(f"{folder.name} {name}", (folder / name).as_uri())
    for folder in folders:
        await complete(workspace, (folder / "app.py").as_uri())
        request = model.requests[-1]
        assert (request.root, request.path) == (folder, "app.py")
        assert request.text == f"{folder.name} app.py"
        assert request.documents == {
            name: f"{folder.name} {name}" for name in ("app.py", "models.py")
        }


async def test_results_and_rejections_of_one_folder_do_not_count_in_the_other(
    workspace, folders, model
):
    """The texts are equal, so only the URI tells the documents apart."""
    uris = [(folder / "app.py").as_uri() for folder in folders]
    for uri, answer in zip(uris, ("one", "two"), strict=True):
        workspace.open("x = ", uri)
        model.answer = lambda request, answer=answer: answer
        (item,) = (await workspace.complete(0, 4, uri=uri))["result"]["items"]
        assert item["insertText"] == answer
    workspace.server.outcomes._clock = lambda: float("inf")
    workspace.notify("textDocument/didRejectCompletion", {"item": item})
    assert (await workspace.complete(0, 4, uri=uris[1]))["result"]["items"] == []
    assert (await workspace.complete(0, 4, uri=uris[0]))["result"]["items"]
    params = {"textDocument": {"uri": uris[0]}}
    assert (await workspace.request("attune/latestResult", params))["result"]["reason"] is None


@pytest.mark.parametrize("scheme", ["git", "untitled", "vscode-notebook-cell", "output"])
async def test_a_revision_never_replaces_the_file(workspace, folders, model, scheme):
    """It is completed with its own text, and other documents see the file's."""
    path = folders[0] / "models.py"
    other = f"{scheme}:{path}?%7B%22ref%22%3A%22HEAD%22%7D"
    app = (folders[0] / "app.py").as_uri()
    workspace.open("now", path.as_uri())
    workspace.open("old", other)
    workspace.open("app", app)
    await complete(workspace, app)
    assert model.requests[-1].documents == {"models.py": "now", "app.py": "app"}
    await complete(workspace, other)
    request = model.requests[-1]
    assert (request.text, request.path, request.root) == ("old", "models.py", folders[0])
    assert request.documents == {"models.py": "now", "app.py": "app"}
    assert not request.is_file


async def test_a_link_and_its_target_are_one_file(workspace, folders, model, tmp_path):
    """Of two open documents the one that was changed last counts."""
    link = tmp_path / "link"
    link.symlink_to(folders[0])
    workspace.open("by link", (link / "models.py").as_uri())
    workspace.open("by path", (folders[0] / "models.py").as_uri())
    await complete(workspace, (link / "models.py").as_uri())
    request = model.requests[-1]
    assert (request.text, request.path, request.root) == ("by link", "models.py", folders[0])
    assert request.documents == {"models.py": "by path"}


async def test_documents_follow_changed_folders(workspace, folders, model):
    uri = (folders[1] / "app.py").as_uri()
    workspace.open("x", uri)
    event = {"added": [], "removed": [{"uri": folders[1].as_uri(), "name": "second"}]}
    workspace.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    await complete(workspace, uri)
    assert (model.requests[-1].root, model.requests[-1].documents) == (None, {})
    event = {"added": event["removed"], "removed": []}
    workspace.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    workspace.open("y", uri)
    await complete(workspace, uri)
    assert (model.requests[-1].root, model.requests[-1].path) == (folders[1], "app.py")


async def test_language_of_the_client_reaches_the_model(workspace, folders, model):
    uri = (folders[0] / "SConstruct").as_uri()
    workspace.open("x", uri, "python")
    await complete(workspace, uri)
    assert model.requests[-1].language_id == "python"


async def test_a_relative_prompt_starts_at_the_first_folder(fresh, folders, opened_with):
    """Not at the repository's root, which may be above it."""
    folders[0].parent.joinpath(".git").mkdir()
    params = {
        "processId": None,
        "capabilities": {},
        "rootUri": folders[0].as_uri(),
        "initializationOptions": {"prompt": "mine.attune.safetensors"},
    }
    await fresh.request("initialize", params)
    fresh.notify("initialized", {})
    await fresh.settled()
    ((settings, roots),) = opened_with
    assert settings.prompt == folders[0] / "mine.attune.safetensors"
    assert roots == [folders[0].parent]


async def test_no_prompt_is_not_a_path(fresh, folders, opened_with):
    params = {"processId": None, "capabilities": {}, "rootUri": folders[0].as_uri()}
    await fresh.request("initialize", params | {"initializationOptions": {"prompt": "none"}})
    fresh.notify("initialized", {})
    await fresh.settled()
    assert opened_with[0][0].without_prompt
