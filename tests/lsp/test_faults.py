"""What happens to files and processes under a running server, and beside it."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from prompts.file import DEFAULT_PROMPT, read_prompt, write_prompt
from tests.lsp.test_session import CHARACTER, LINE, TEXT, texts
from tests.unit.completion.prompt_files import prompt_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("how", ["cut", "deleted"])
async def test_a_model_file_that_changes_under_the_server(
    connect, tiny_model: Path, tmp_path: Path, dtype: str, how: str
) -> None:
    """The server holds its own copy: a file that is mapped would end it with SIGBUS."""
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    weights = model / "model.safetensors"
    if dtype == "float32":
        tensors = {name: tensor.float() for name, tensor in load_file(weights).items()}
        weights.unlink()
        save_file(tensors, weights, metadata={"format": "pt"})
    session = await connect(ATTUNE_MODEL=str(model))
    await session.start()
    uri = session.open("module.txt", TEXT)
    before = await session.complete(uri, LINE, CHARACTER)
    assert texts(before)
    if how == "cut":
        os.truncate(weights, 10)
    else:
        shutil.rmtree(model)
    again = session.open("module.txt", f"{TEXT}x")
    assert again == uri
    await session.complete(uri, LINE, CHARACTER + 1)
    session.open("module.txt", TEXT)
    assert texts(await session.complete(uri, LINE, CHARACTER)) == texts(before)
    assert await session.end() == 0


async def test_two_servers_and_two_tuners_on_one_repository(
    connect, base, workspace: Path, environment: dict[str, str]
) -> None:
    """The servers answer all the time; both tuners end, and what they leave is whole."""
    for number in range(4):
        lines = (f"def f_{number}_{m}(x_{m}):\n    return x_{m} + {number}\n\n" for m in range(3))
        (workspace / f"file_{number}.py").write_text("\n".join(lines))
    (workspace / ".attune").mkdir()
    write_prompt(workspace / DEFAULT_PROMPT, prompt_of(base))
    before = (workspace / DEFAULT_PROMPT).read_bytes()
    sessions = [await connect(), await connect()]
    for session in sessions:
        await session.start()
    command = (sys.executable, "-I", "-m", "attune", "tune", str(workspace))
    tuners = [
        await asyncio.create_subprocess_exec(
            *command, "--minutes", "0.05", "--json", env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    ended = [asyncio.create_task(tuner.communicate()) for tuner in tuners]
    running, number = set(ended), 0
    while running:  # a request to each now and then: without a pause, the tuners get little time
        number += 1
        for session in sessions:
            uri = session.open("module.txt", f"{TEXT}{'x' * (number % 50)}")
            await session.complete(uri, LINE, CHARACTER + number % 50)
        _, running = await asyncio.wait(running, timeout=0.5)
    for tuner, task in zip(tuners, ended, strict=True):
        output, errors = await task
        assert tuner.returncode in (0, 1), errors
        assert b"Traceback" not in errors
        written = Path(json.loads(output)["written"])
        assert read_prompt(written).manifest.num_virtual_tokens > 0
    if (workspace / DEFAULT_PROMPT).read_bytes() != before:  # else none was proven
        read_prompt(workspace / DEFAULT_PROMPT)
    assert not list(workspace.rglob("*.tmp"))
    for session in sessions:
        assert await session.end() == 0
