"""The acceptance benchmark in a short form, with the tiny model."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import acceptance
from code_model.loading import load_model
from completion.request import CompletionResult


@pytest.fixture
def result(repository: Path) -> dict[str, Any]:
    model = load_model()
    return acceptance.summary(acceptance.measure(model, repository, 12), model)


def test_a_short_run(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert result["places"] == 12
    assert set(result["conditions"]) == {"no prompt", "retrieval"}
    for scores in result["conditions"].values():
        for point in (scores["everything"], scores["balanced"], *scores["curve"]):
            assert 0 <= point["right"] <= 1
            assert (point["shown"] > 0) == (point["saved"] + point["wrong"] > 0)
        assert len(scores["curve"]) == len(acceptance.THRESHOLDS)
        assert any(point["shown"] for point in scores["curve"])
    assert set(result["saved_at_equal_wrong"]) == {"retrieval over no prompt"}
    acceptance.show({"packages": {"package": result}})
    assert "retrieval" in capsys.readouterr().out


def test_an_exact_line_counts_for_the_cursor_that_got_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model says the right line behind the indentation, and nothing at column 0."""
    task = {
        "prompt": "def f(x):\n",
        "suffix": "    return y\n",
        "canonical_solution": "    y = x + 1\n",
    }
    file = tmp_path / "tasks.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as tasks:
        tasks.write(f"{json.dumps(task)}\n" * 3)

    def complete(session: Any, point: Any, *, explicit: bool) -> Any:
        assert explicit
        at_column_0 = point.tree.text[: point.offset].endswith("\n")
        text = "" if at_column_0 else "y = x + 1"
        return CompletionResult(text)

    monkeypatch.setattr(acceptance, "complete", complete)
    scores = acceptance.infilling(load_model().open(), file, every=2)
    shares = {"column 0": 0.0, "after the indentation": 1.0}
    assert scores == {"places": 2, "answered": shares, "exact": shares}
    layouts = ("attune", "left-to-right")
    by_layout = acceptance.infilling_by_layout(load_model(), layouts, file, every=2)
    assert list(by_layout) == [
        f"{layout}, {how} token healing" for layout in layouts for how in ("without", "with")
    ]
    assert all(result == scores for result in by_layout.values())


def test_everything_is_the_first_threshold() -> None:
    assert acceptance.WITH_EVERYTHING[0] == -np.inf
    assert np.all(np.diff(acceptance.WITH_EVERYTHING) > 0)
