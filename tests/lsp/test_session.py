"""Sessions between an independent client and the real server process."""

import asyncio
import os
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled

from completion.model_input import CompletionPoint
from completion.pipeline import complete
from prompts.file import DEFAULT_PROMPT, write_prompt
from tests.unit.completion.prompt_files import prompt_of

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main() -> int:\n    here = os."
LINE, CHARACTER = 4, 14
WITHOUT_PROMPT = 'Ready without a prompt: there is none yet; run "attune tune" in this repository.'


def expected(base, path: str) -> list[str]:
    """The answer of the library, called directly."""
    answer = complete(base.open(), CompletionPoint.parse(TEXT, path, len(TEXT))).text
    return [answer] if answer else []


def texts(items: list[types.InlineCompletionItem]) -> list[object]:
    return [item.insert_text for item in items]


async def test_completes_and_ends(connect, base):
    """The answer is the library's for the path relative to the workspace; the exit code is 0."""
    session = await connect()
    result = await session.start()
    assert result.capabilities.inline_completion_provider is not None
    assert result.capabilities.position_encoding == types.PositionEncodingKind.Utf16
    uri = session.open("package/module.txt", TEXT)
    items = await session.complete(uri, LINE, CHARACTER)
    assert texts(items) == expected(base, "package/module.txt") != []
    cursor = types.Position(LINE, CHARACTER)
    assert items[0].range == types.Range(cursor, cursor)
    kinds = [(status.kind, status.busy, status.message) for status in session.statuses]
    assert kinds == [("Normal", True, "Loading the model…"), ("Normal", False, WITHOUT_PROMPT)]
    assert await session.end() == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "name",
    [".attune/attune.toml", DEFAULT_PROMPT, f"{DEFAULT_PROMPT}.sig", ".attuneignore", "x.py"],
)
async def test_a_pipe_in_place_of_a_file_does_not_stop_the_server(connect, base, workspace, name):
    """Opening a pipe waits for a writer; the server must answer, and end when it is told to."""
    (workspace / ".attune").mkdir(exist_ok=True)
    os.mkfifo(workspace / name)
    session = await connect()
    await session.start()
    uri = session.open("package/module.txt", TEXT)
    items = await session.complete(uri, LINE, CHARACTER)
    assert texts(items) == expected(base, "package/module.txt")
    assert await session.end() == 0


async def test_the_workspace_is_never_imported(connect, base, workspace, tmp_path):
    """Packages in the workspace are never executed, even if the server is started there."""
    mark = tmp_path / "imported"
    names = ("attune", "prompts", "tuning", "code_model", "lsp_server", "torch", "sitecustomize")
    for name in names:
        (workspace / name).mkdir()
        code = f"open({str(mark)!r}, 'a').write({name!r})\n"
        (workspace / name / "__init__.py").write_text(code)
        (workspace / name / "__main__.py").write_text(code)
    session = await connect(cwd=workspace, PYTHONPATH=str(workspace))
    await session.start()
    uri = session.open("prompts/module.txt", TEXT)
    items = await session.complete(uri, LINE, CHARACTER)
    assert texts(items) == expected(base, "prompts/module.txt")
    assert await session.end() == 0
    assert not mark.exists()


async def test_cancelled_request_is_answered_at_once(connect, base):
    """While the model loads, so that the request is certainly waiting; the latest is served."""
    session = await connect()
    await session.start()
    uri = session.open("module.txt", TEXT)
    waiting = asyncio.create_task(session.complete(uri, LINE, CHARACTER, msg_id="first"))
    overtaken = asyncio.create_task(session.complete(uri, LINE, CHARACTER))
    latest = asyncio.create_task(session.complete(uri, LINE, CHARACTER))
    while len(session.client.protocol._request_futures) < 3:
        await asyncio.sleep(0)  # until the tasks above have sent their requests
    session.client.cancel_request(types.CancelParams("first"))
    with pytest.raises(JsonRpcRequestCancelled):
        await waiting
    assert [status.busy for status in session.statuses] == [True]
    assert await overtaken == []
    assert texts(await latest) == expected(base, "module.txt")
    assert await session.end() == 0


async def test_broken_prompt_warns_once_and_completions_go_on(connect, base, workspace: Path):
    file = workspace / DEFAULT_PROMPT
    file.parent.mkdir()
    file.write_bytes(b"\x07" * 100)
    session = await connect()
    await session.start()
    uri = session.open("module.txt", TEXT)
    for _ in range(2):
        items = await session.complete(uri, LINE, CHARACTER)
        assert texts(items) == expected(base, "module.txt")
    assert [status.kind for status in session.statuses] == ["Normal", "Warning"]
    assert str(file) in session.statuses[-1].message
    assert await session.end() == 0


async def test_missing_model_is_reported_and_answers_are_empty(connect, tmp_path):
    session = await connect(ATTUNE_MODEL=str(tmp_path / "none"))
    await session.start()
    uri = session.open("module.txt", TEXT)
    assert await session.complete(uri, LINE, CHARACTER) == []
    status = await session.settled()
    assert status.kind == "Error"
    assert "There is no model folder" in status.message
    assert await session.end() == 0


async def test_a_folder_in_a_repository_has_the_repositorys_prompt(connect, base, workspace: Path):
    """By the rule of the command line; the path that the model sees starts at the repository."""
    (workspace / "package").mkdir()
    (workspace / DEFAULT_PROMPT).parent.mkdir()
    write_prompt(workspace / DEFAULT_PROMPT, prompt_of(base))
    session = await connect()
    session.workspace = workspace / "package"
    await session.start()
    assert (await session.settled()).message.startswith("Ready with prompt space")
    assert await session.end() == 0


async def test_the_clients_language_decides_where_the_name_does_not(connect, workspace: Path):
    """The cursor is in a comment of a Python file without a suffix."""
    session = await connect()
    await session.start()
    uri = session.open("SConstruct", "import os\n# a comment about ", "python")
    assert await session.complete(uri, 1, 18) == []
    params = {"textDocument": {"uri": uri}}
    result = await session.client.protocol.send_request_async("attune/latestResult", params)
    assert result.reason == "in_comment"
    assert await session.end() == 0
