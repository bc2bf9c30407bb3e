"""A server process whose model is a team server's: it answers, hangs and comes back."""

import asyncio
from pathlib import Path

import pytest

from code_model.loading import load_model
from code_model.model_addition import add_model
from code_model.user_models import UserServer, record_server
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from prompts.configuration import FILE_NAME, FOLDER
from tests.lsp.test_models import CHARACTER, LINE, TEXT
from tests.unit.code_model.vllm.fake_server import FakeServer, running

pytestmark = pytest.mark.slow


def expected(model: Path, name: str) -> list[str]:
    """The answer of the library, called directly."""
    point = CompletionPoint.parse(TEXT, name, len(TEXT))
    return [complete(load_model(model).open(), point).text]


async def test_a_team_server_that_hangs_and_comes_back(
    connect, workspace: Path, tiny_model: Path, other_model: Path
) -> None:
    """There is always an answer, and the status names the model that gave it."""
    for model in (tiny_model, other_model):
        add_model(model.name, model, str(model))
    server = FakeServer(load_model(tiny_model))
    with running(server):
        joined = UserServer(server.url, "tiny", "other", timeout_ms=10_000)
        record_server("team", joined)
        (workspace / FOLDER).mkdir()
        (workspace / FOLDER / FILE_NAME).write_text(f'[team]\nurl = "{server.url}"\n')
        session = await connect(ATTUNE_MODEL="")
        await session.start()
        await session.settled()

        async def completed(name: str) -> list[object]:
            uri = session.open(name, TEXT)
            return [item.insert_text for item in await session.complete(uri, LINE, CHARACTER)]

        async def until_model(name: str) -> str:
            while session.statuses[-1].model != name:
                await asyncio.wait_for(session.arrived(), 60)
            return str(session.statuses[-1].message)

        assert await completed("one.txt") == expected(tiny_model, "one.txt")
        assert "on the team server 127.0.0.1" in await until_model("team")

        server.pause_after = 0
        assert await completed("two.txt")
        message = await until_model("other")
        assert "gave no answer within 5000 ms" in message

        server.pause_after = None
        server.resume.set()
        number = 0
        while session.statuses[-1].model != "team":  # the pause is a second or two
            await asyncio.sleep(0.2)
            await completed(f"again{number}.txt")
            number += 1
        assert await completed("last.txt")
    assert await session.end() == 0
