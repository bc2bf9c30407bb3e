"""The acceptance benchmark in a short form, with the tiny model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import acceptance
from benchmarks.acceptance import Package, measure, pooled, summary
from benchmarks.proof_rule import serving
from code_model.loading import load_model
from tuning.acceptance import Replay
from tuning.proof import NO_PROMPT, RETRIEVAL, Condition


@pytest.fixture
def package(repository: Path, tmp_path: Path) -> Package:
    return Package.of(repository, 12, None, tmp_path)


def test_a_short_run(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model()
    replays = measure(model, package)
    result: dict[str, Any] = summary(replays, model)
    assert result["places"] == 12
    assert set(result["conditions"]) == {NO_PROMPT, RETRIEVAL}
    for scores in result["conditions"].values():
        for point in (scores["everything"], scores["balanced"], *scores["curve"]):
            assert 0 <= point["right"] <= 1
            assert (point["shown"] > 0) == (point["saved"] + point["wrong"] > 0)
        assert len(scores["curve"]) == len(acceptance.THRESHOLDS)
        assert any(point["shown"] for point in scores["curve"])
    compared = result["saved_at_equal_wrong"]
    assert set(compared) == {f"{RETRIEVAL} over {NO_PROMPT}"}
    acceptance.show({"package": result})
    assert RETRIEVAL in capsys.readouterr().out


def test_a_condition_is_measured_once(package: Package) -> None:
    model = load_model()
    first = package.replay("bare", Condition(model))

    def never() -> Condition:
        raise AssertionError("measured again")

    again = package.replay("bare", never)
    assert again.paths == first.paths
    assert np.array_equal(again.saved, first.saved)
    assert np.array_equal(again.wrong, first.wrong)
    with pytest.raises(AssertionError, match="measured again"):
        package.replay("another", never)
    with pytest.raises(AssertionError, match="measured again"):
        replace(package, places=package.places[:6]).replay("bare", never)


def test_pooled_packages_keep_their_files_apart(package: Package) -> None:
    replays = measure(load_model(), package)
    both = pooled({"one": replays, "two": replays})
    of_one = replays[NO_PROMPT]
    together = both[NO_PROMPT]
    assert len(set(together.paths)) == 2 * len(set(of_one.paths))
    assert together.at(-np.inf) == of_one.at(-np.inf)


def test_the_gate_is_measured_where_a_fifth_as_many_characters_are_wrong() -> None:
    count = len(acceptance.WITH_EVERYTHING)
    wrong = np.linspace(10, 0, count)[None, :]
    saved = np.where(wrong > 2, 4.0, 6.0)
    replay = Replay(("a.py",), acceptance.WITH_EVERYTHING, saved, np.where(wrong > 2, 10.0, 2.0))
    assert acceptance.saved_by_gate(replay) == 1.5


def test_everything_is_the_first_threshold() -> None:
    assert acceptance.WITH_EVERYTHING[0] == -np.inf
    assert np.all(np.diff(acceptance.WITH_EVERYTHING) > 0)


def test_rules_are_the_stricter_the_lower_the_figure_that_they_ask() -> None:
    rng = np.random.default_rng(0)
    thresholds = acceptance.WITH_EVERYTHING
    paths = tuple(f"{number % 8}.py" for number in range(80))
    lengths = rng.integers(4, 40, (80, 1)) * np.linspace(1, 0.2, len(thresholds))
    is_right = rng.random((80, 1)) < 0.7
    before = Replay(paths, thresholds, lengths * is_right, lengths * ~is_right)
    worse = Replay(paths, thresholds, before.saved * 0.9, before.wrong)
    sureness = load_model().show_thresholds
    assert serving(worse, before, sureness, 40, draws=5) == (0.0, 0.0, 0.0)
    assert serving(before, before, sureness, 40, draws=5) == (1.0, 1.0, 1.0)
    noisy = Replay(paths, thresholds, before.saved * rng.uniform(0, 2, (80, 1)), before.wrong)
    upper, mean, lower = serving(noisy, before, sureness, 40, draws=5)
    assert upper >= mean >= lower
