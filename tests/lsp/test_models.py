"""One server process for two folders with a model each, and a model that changes meanwhile."""

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types

from code_model.loading import load_model
from code_model.model_addition import add_model
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from prompts.configuration import FOLDER, set_model

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main() -> int:\n    path = os."
LINE, CHARACTER = 4, 14


def expected(model: Path) -> list[str]:
    """The answer of the library, called directly."""
    point = CompletionPoint.parse(TEXT, "module.txt", len(TEXT))
    return [complete(load_model(model).open(), point).text]


async def test_two_folders_are_served_by_two_models(
    connect, tiny_model: Path, other_model: Path, tmp_path: Path
):
    """`attune model use` in one of them takes effect without a restart."""
    answers = {model.name: expected(model) for model in (tiny_model, other_model)}
    assert answers["tiny"] != answers["other"]
    folders = {name: tmp_path / f"with-{name}" for name in answers}
    for model in (tiny_model, other_model):
        add_model(model.name, model, str(model))
        set_model(folders[model.name] / FOLDER, model.name)
    session = await connect(ATTUNE_MODEL="")
    params = types.InitializeParams(
        capabilities=types.ClientCapabilities(),
        workspace_folders=[
            types.WorkspaceFolder(folder.as_uri(), name) for name, folder in folders.items()
        ],
    )
    await session.client.initialize_session(params)

    async def completed(name: str) -> list[object]:
        session.workspace = folders[name]
        uri = session.open("module.txt", TEXT)
        return [item.insert_text for item in await session.complete(uri, LINE, CHARACTER)]

    for name in ("tiny", "other", "tiny"):
        assert await completed(name) == answers[name]
        assert session.statuses[-1].model == name

    set_model(folders["tiny"] / FOLDER, "other")
    while session.statuses[-1].model != "other":
        await asyncio.wait_for(session.arrived(), 60)
    assert await completed("tiny") == answers["other"]
    assert await session.end() == 0
