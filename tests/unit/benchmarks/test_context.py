"""The context benchmarks in a short form, with the tiny model."""

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.acceptance import ALL
from benchmarks.context import quality, speed
from code_model.decoder.model import DecoderModel
from completion.model_input import CompletionPoint, model_input
from tuning.corpus import collect
from tuning.examples import indexed


def test_a_short_run_of_quality(
    base: DecoderModel, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = [quality.SHIPPED, "plain window", "random code"]
    stages: list[tuple[str, str]] = []
    figures = quality.measure(
        base,
        {"one": repository, "two": repository},
        3,
        tmp_path,
        ways,
        lambda *at: stages.append(at),
    )
    assert stages == [(name, way) for name in ("one", "two") for way in ways]
    of_package, of_all = figures["packages"]["one"], figures["packages"][ALL]
    assert list(of_package["conditions"]) == ways
    assert of_package["places"] == 3
    assert of_all["places"] == 6
    assert of_package["conditions"][quality.SHIPPED]["gain"] == 0.0
    assert of_all["conditions"][quality.SHIPPED]["gain"] == 0.0
    quality.show(figures, Console())
    assert "plain window" in capsys.readouterr().out


def test_ways_differ_in_what_the_model_is_given(base: DecoderModel, repository: Path) -> None:
    files = collect(repository).files
    text = files[0].text
    given = set()
    for way in quality.WAYS.values():
        retriever = {"chosen": indexed(files), "random": quality.RandomCode(files), None: None}
        point = CompletionPoint.parse(
            text, files[0].path, len(text) // 2, retriever[way.retrieved], way.config
        )
        given.add(tuple(model_input(base.encoder, point)))
    assert len(given) > len(quality.SOURCES) / 2  # small files have no use for larger budgets


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
