"""The default model's recipe, rehearsed with a tiny shape: from a corpus to an editor's completion.

The corpus is this repository's own code, and a few made files in the languages that it lacks.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lsprotocol import types

from code_context.languages import language_of
from completion.reasons import JUDGED
from pretraining import __main__ as pretraining
from pretraining.corpus import Document
from tests.unit.pretraining.made_packages import write_corpus
from tests.unit.pretraining.test_rows import FUNCTION, SUFFIXES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(pretraining.__file__).parents[1]
TRAINED_ON, HELD_OUT = ("completion", "code_context", "code_model/decoder"), ("prompts/registry",)
CLIENT = "vscode-client/src"  # in TypeScript
RECIPE = Path(pretraining.__file__).with_name("tiny.toml")


def documents(*folders: str) -> list[Document]:
    """The files of folders of this repository, each folder a package."""
    return [
        Document(folder, path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"), key)
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.*"))
        if (key := language_of(path.name)) is not None
    ]


def made(part: str) -> list[Document]:
    """A package of two files in each language."""
    return [
        Document(
            f"{language}-{part}",
            f"src/{name}.{SUFFIXES[language]}",
            "".join(text.format(n=f"_{part}_{name}{n}") for n in range(12)),
            language,
        )
        for language, text in FUNCTION.items()
        for name in "ab"
    ]


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """For so small a shape, threads cost more than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sides = {
        "train": documents(*TRAINED_ON, CLIENT) + made("trained"),
        "held_out": documents(*HELD_OUT) + made("held"),
    }
    for side, of_side in sides.items():
        write_corpus(tmp_path, side, of_side)
    return tmp_path


@pytest.mark.usefixtures("_one_thread")
async def test_the_recipe_from_its_corpus_to_an_editor(
    connect, folder: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # compiling takes a minute and changes nothing that is tested here
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    out = folder / "shipped"

    def run(command: str, *more: str) -> None:
        arguments = [command, "--folder", str(folder), "--config", str(RECIPE), *more]
        assert pretraining.main(arguments) == 0

    run("tokenizer")
    run("train", "--call-minutes", "0.05")
    log = folder / "run" / "log.jsonl"
    first = len(log.read_text().splitlines())
    run("train")
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    assert 0 < first < len(steps)
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert steps[-1]["loss"] < steps[0]["loss"]
    run("export", "--to", str(out), "--scheme", "int8")
    run("evaluate", "--model", str(out))
    results = json.loads((folder / "evaluation-attune-default.json").read_text())
    assert results["languages"].keys() == {"python", *FUNCTION}
    assert results["languages"]["python"]["median"]["naming_served"] > 0

    session = await connect(ATTUNE_MODEL=str(out))
    reasons: list[str] = []
    empty = session.client.feature("attune/didChangeEmptyReason")
    empty(lambda params: reasons.append(params.reason))
    await session.start()
    assert (await session.settled()).message.startswith("Ready")
    uri = session.open("a.py", "import os\n\n\ndef f(path):\n    return path.\n", "python")
    invoked = types.InlineCompletionTriggerKind.Invoked  # shows what it is less sure of, too
    items = await session.complete(uri, 4, len("    return path."), trigger=invoked)
    assert await session.end() == 0
    # what it says after seconds of training may be dropped, but for nothing else than what it is
    assert items or (reasons and set(reasons) <= JUDGED)
