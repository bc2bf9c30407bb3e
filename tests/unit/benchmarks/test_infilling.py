"""HumanEval-Infilling with answers that are known."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import infilling
from benchmarks.infilling import COLUMN_0, INDENTED
from code_model.loading import load_model
from completion.request import CompletionResult
from prompts.file import PromptFile
from prompts.manifest import Manifest


@pytest.fixture
def tasks(tmp_path: Path) -> list[infilling.Task]:
    task = {
        "prompt": "def f(x):\n",
        "suffix": "    return y\n",
        "canonical_solution": "    y = x + 1\n",
    }
    file = tmp_path / "tasks.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.write(f"{json.dumps(task)}\n" * 3)
    return infilling.read_tasks(file, every=2)


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model says the right line behind the indentation, and nothing at column 0."""

    def complete(session: Any, point: Any, *, explicit: bool) -> CompletionResult:
        assert explicit
        at_column_0 = point.tree.text[: point.offset].endswith("\n")
        return CompletionResult("" if at_column_0 else "y = x + 1")

    monkeypatch.setattr(infilling, "complete", complete)


SHARES = {
    name: {COLUMN_0: 0.0, INDENTED: 1.0} for name in ("answered", "exact")
}  # of the answers above


def test_an_exact_line_counts_for_the_cursor_that_got_it(
    tasks: list[infilling.Task], capsys: pytest.CaptureFixture[str]
) -> None:
    session = load_model().open()
    ways = {"no prompt": infilling.shares(tasks, lambda task: session)}
    assert ways == {"no prompt": SHARES}
    infilling.show({"places": len(tasks), "ways": ways})
    assert "2 lines" in capsys.readouterr().out


def test_layouts_are_compared_with_token_healing_and_without(tasks: list[infilling.Task]) -> None:
    by_layout = infilling.by_layout(load_model(), ("attune", "left-to-right"), tasks)
    assert list(by_layout) == [
        f"{layout}, {healing} token healing"
        for layout in ("attune", "left-to-right")
        for healing in ("without", "with")
    ]
    assert all(result == SHARES for result in by_layout.values())


def test_a_prompt_serves_only_where_it_fits(
    tasks: list[infilling.Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model()
    manifest = Manifest(
        name="other", form="kv", num_virtual_tokens=4, model=model.identity, attune_version="0"
    )
    rows = np.zeros(manifest.shape, np.float32)
    verdicts = iter([None, "it does not fit"])
    monkeypatch.setattr(infilling, "misfit", lambda *arguments: next(verdicts))
    ways = infilling.with_prompt(model, tasks, PromptFile(manifest, rows))
    assert list(ways) == ["no prompt", "always", "where it fits"]
    assert ways["where it fits"] == SHARES | {"served": 0.5}
