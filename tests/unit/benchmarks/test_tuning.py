"""The tuning benchmarks in a short form, with the tiny model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import tuning, tuning_gain, tuning_plot, tuning_studies, tuning_throughput
from code_model.language_model import TunableModel
from code_model.loading import load_tunable_model
from pretraining.package_lists import held_out
from tuning.config import TuningConfig

CONFIG = TuningConfig(
    num_virtual_tokens=8,
    steps=2,
    examples_per_step=2,
    max_tokens=96,
    held_out_tokens=128,
    n_evaluations=1,
    validation_holes=4,
    test_holes=6,
    proof_places=6,
)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> TunableModel:
    monkeypatch.setattr(tuning_gain, "WINDOW_TOKENS", 64)  # the tiny model has few positions
    return load_tunable_model()


@pytest.fixture
def other(tmp_path: Path, repository: Path) -> Path:
    """Another repository."""
    return Path(shutil.copytree(repository, tmp_path / "other"))


@pytest.mark.slow
def test_a_short_run(
    model: TunableModel, repository: Path, other: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Measured, kept, shown and drawn."""
    folders = {"celery": repository, "rich": other}
    results = tuning.measure(model, folders, ["celery"], CONFIG, tmp_path, lora=True)
    (result,) = results.values()
    assert result.keys() == {"tuned", "unrelated", "own", "lora"}
    assert result["tuned"]["steps"] == 2
    assert result["tuned"]["files_bits_per_byte"]["no prompt"] > 0
    for side in ("own", "unrelated"):
        assert 0 <= result[side]["used"] <= 1
        assert len(result[side]["texts"]) > 0
    assert set(result["lora"]["tried"]) == {"0.0005", "0.002", "0.008"}
    (kept,) = tmp_path.glob("results-*.json")
    assert json.loads(kept.read_text()).keys() == {"celery"}
    tuning.show(results)
    assert "celery" in capsys.readouterr().out
    (tmp_path / "tuning.json").write_text(json.dumps({"packages": results}))
    study = tuning_studies.curve(model, repository, CONFIG)
    tuning_studies.run("curve: package, 2 steps", study, tmp_path / "tuning_studies.json")
    tuning_plot.draw(tmp_path, tmp_path)
    assert (tmp_path / "tuning.png").stat().st_size > 10_000


def test_what_is_measured_is_not_measured_again(
    model: TunableModel, repository: Path, other: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    calls = []
    tuned = {"prompt": "p.attune.safetensors"}
    monkeypatch.setattr(tuning, "tune_and_prove", lambda *given: calls.append(1) or tuned)
    monkeypatch.setattr(tuning, "read_prompt", lambda path: path)
    for name in ("gain_elsewhere", "gain_on_own"):
        monkeypatch.setattr(tuning, name, lambda *given, name=name: calls.append(name) or {})
    folders = {"celery": repository, "rich": other}
    for _ in range(2):
        tuning.measure(model, folders, ["celery"], CONFIG, tmp_path, lora=False)
    assert calls == [1, "gain_elsewhere", "gain_on_own"]


def test_results_are_recorded_when_all_packages_are_finished(
    model: TunableModel, tmp_path: Path
) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(json.dumps({"minutes": 1.0, "packages": {"old": {}}}))
    finished = {name: {"tuned": {"prompt": f"/x/{name}"}} for name in held_out()}
    first = dict(list(finished.items())[:1])
    tuning.record(first, 2.0, model, path)
    assert json.loads(path.read_text())["packages"] == {"old": {}}
    tuning.record(finished, 2.0, model, path)
    recorded = json.loads(path.read_text())
    assert recorded["packages"] == {name: {"tuned": {"prompt": name}} for name in held_out()}
    changed = {next(iter(first)): {"tuned": {"prompt": "/x/new"}}}
    tuning.record(changed, 2.0, model, path)
    assert json.loads(path.read_text())["packages"] == (
        recorded["packages"] | {next(iter(first)): {"tuned": {"prompt": "new"}}}
    )


def test_every_study_in_a_short_form(
    model: TunableModel, repository: Path, other: Path, tiny_model: Path
) -> None:
    one = {"loss on the hole alone": tuning_studies.ABLATIONS["loss on the hole alone"]}
    rows = dict(tuning_studies.ablation(model, repository, CONFIG, other, one))
    assert len(rows["loss on the hole alone"]["unrelated"]) == 3
    part = {"first": {"include": ("package/module_[0-9].py",)}}
    rows = dict(tuning_studies.parts(model, repository, CONFIG, part))
    assert set(rows) == {"first: the specialised prompt", "first: the general prompt"}
    rows = dict(tuning_studies.models([tiny_model], repository, CONFIG))
    assert rows[tiny_model.name]["bits_per_byte"] > 0
    tuning_studies.show("models", rows)


def test_every_ablation_changes_a_valid_recipe() -> None:
    for change in (*tuning_studies.ABLATIONS.values(), *tuning_studies.PARTS.values()):
        changed = replace(TuningConfig(), **change)
        assert (changed != TuningConfig()) == bool(change)


def test_throughput_is_of_the_same_computation(model: TunableModel, repository: Path) -> None:
    """Ours and PEFT's begin at the same loss; the first token is trained by PEFT only."""
    config = replace(CONFIG, context_weight=1.0, form="kv")
    figures = tuning_throughput.measure(model, repository, config, n_steps=1, n_rounds=1)
    assert figures["last_loss"]["ours"] == pytest.approx(figures["last_loss"]["peft"], rel=0.01)
    assert figures["tokens_per_second"].keys() == {"ours", "peft"}
    assert figures["ratio"] > 0


def test_bits_per_byte_count_whole_files(model: TunableModel, repository: Path) -> None:
    from tuning.corpus import collect

    files = collect(repository).files
    bits = tuning_gain.files_bits_per_byte(model, None, files)
    assert 0 < bits < 16
    assert bits != tuning_gain.files_bits_per_byte(model, None, files[:3])
