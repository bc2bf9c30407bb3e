"""The context benchmarks in a short form, with the tiny model."""

import gzip
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.context import __main__ as command
from benchmarks.context import quality, speed
from code_model.decoder.model import DecoderModel
from pretraining.corpus import Document


@pytest.fixture
def documents(module_texts: list[str]) -> list[Document]:
    return [
        Document(package, f"{package}/module_{n}.py", text.replace("package", package))
        for package in ("one", "two")
        for n, text in enumerate(module_texts)
    ]


def test_a_short_run_of_quality(tmp_path: Path, documents: list[Document]) -> None:
    with gzip.open(tmp_path / "held_out.jsonl.gz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(asdict(document)) + "\n" for document in documents)
    result = tmp_path / "quality.json"
    command.main(
        ["quality", "--folder", str(tmp_path), "--packages", "one", "two", "--holes", "2",
         "--decoded", "1", "--room", "300", "--out", str(result)]
    )  # fmt: skip
    figures = json.loads(result.read_text())
    assert figures["packages"] == ["one", "two"]
    assert figures["holes"] == 4
    assert [row["context"] for row in figures["rows"]] == [
        condition.name for condition in quality.CONDITIONS
    ]
    plain, *others = figures["rows"]
    assert plain["against_plain"] == [0.0, 0.0]
    assert all(row["loss"] > 0 for row in figures["rows"])
    assert others[-1]["tokens"] > plain["tokens"]
    assert set(figures["loss_by_package"]) == {"one", "two"}
    assert "similar_against_random_over_packages" in figures


def test_an_interval_over_groups_is_of_nats_per_token() -> None:
    differences = np.array([1.0, 3.0, 2.0])
    assert quality._interval(differences, [10, 30, 20], ["a", "a", "b"]) == (0.1, 0.1)
    low, high = quality._interval(np.array([1.0, -1.0]), [10, 10], ["a", "b"])
    assert low == -0.1
    assert high == 0.1


@pytest.mark.slow
def test_a_short_run_of_speed(
    base: DecoderModel, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "MIN_FILE_BYTES", 200)
    amount = speed.Amount(lines=50, places=1, cursors=2, changes=2)
    library = repository / "package"
    rows = speed.measure(base, [], amount, library)
    assert [row["what"] for row in rows] == [
        "parse again after one keystroke, 50 lines",
        "standard library: files indexed per second of one core",
        "standard library: seconds for the first index",
        "standard library: MB resident after 12 files",
        "standard library: assemble a context at a new place",
        "standard library: assemble it again after a keystroke",
        "standard library: from a changed file to its being served",
    ]
    assert all(row.get("p50_ms", row.get("value", 0)) > 0 for row in rows)
