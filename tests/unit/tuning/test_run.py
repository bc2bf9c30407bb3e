"""Whole runs on a small repository: what they write, and what they never overwrite."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from attune.show_tuning import show_report
from attune.tuning_progress import progress_display
from code_model.decoder.model import DecoderModel
from code_model.language_model import Runtime
from prompts.errors import IncompatiblePrompt, PromptWriteError
from prompts.file import (
    DEFAULT_PROMPT,
    PromptFile,
    read_manifest,
    read_prompt,
    sha256_of,
    write_prompt,
)
from prompts.form import Form
from prompts.router import PromptRouter, unproven_path
from tests.unit.tuning.conftest import CONFIG, ignore
from tuning import publish
from tuning import run as run_module
from tuning.acceptance import AcceptanceScores
from tuning.config import TuningConfig
from tuning.corpus import CorpusError, SourceFile, collect
from tuning.evaluate import Gain
from tuning.job import new_job
from tuning.progress import CALIBRATE, EVALUATE, TRAIN, Progress
from tuning.proof import PRESENT, THIS_PROMPT, Acceptance, ConditionResult, Proof
from tuning.report import TuningReport
from tuning.run import FIRST_LOOK, evaluate, is_servable, tune
from tuning.train import Evaluation


def run(base: DecoderModel, repository: Path, out: Path | None = None) -> TuningReport:
    return tune(base, collect(repository), out, CONFIG, ignore)


def test_a_run_measures_and_writes(base: DecoderModel, git_repository: Path) -> None:
    before = base.weights_hash()
    report = run(base, git_repository)
    assert base.weights_hash() == before
    assert report.written is not None
    prompt = read_prompt(report.written)
    manifest = prompt.manifest
    assert (manifest.num_virtual_tokens, manifest.form) == (8, "kv-nope")  # half of those tuned
    assert len(manifest.commit or "") == 40
    assert manifest.proven == report.proven
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["files"] == report.files
    assert report.proof is not None
    names = [result.name for result in report.proof.results]
    assert names == [
        "no prompt",
        "untrained prompt",
        "this prompt",
        "retrieval only",
        "this prompt + retrieval",
    ]
    again = evaluate(base, collect(git_repository), prompt, ignore)
    assert again.gain.mean == pytest.approx(report.proof.gain.mean, abs=1e-6)
    assert again.acceptance == report.proof.acceptance
    assert again.acceptance is not None
    assert manifest.measured["acceptance"] == again.acceptance.to_json()


def test_the_less_there_is_to_learn_from_the_more_decays(
    base: DecoderModel, repository: Path
) -> None:
    job = new_job(base, collect(repository), TuningConfig(num_virtual_tokens=16))

    def decay(characters: int) -> float:
        train = [SourceFile("a.py", "x" * characters)]
        return replace(job, split=replace(job.split, train=train)).weight_decay

    assert decay(1_000_000) == pytest.approx(TuningConfig().weight_decay)
    assert decay(4_000_000) == pytest.approx(decay(1_000_000) / 4)
    assert decay(500_000) == pytest.approx(decay(1_000_000) * 2)
    assert decay(10) == decay(250_000), "something must be left to learn"


def test_the_same_run_gives_the_same_bytes(base: DecoderModel, repository: Path) -> None:
    first = run(base, repository).written
    assert first is not None
    content = first.read_bytes()
    assert run(base, repository).written == first
    assert first.read_bytes() == content


def proof_with(low: float, over: Gain | None = None):
    real = run_module.prove

    def prove(*arguments, **named):
        gain = Gain(0.02, low, 0.05)
        return replace(real(*arguments, **named), gain=gain, over_retrieval=over)

    return prove


def test_a_proven_prompt_takes_the_final_name(
    base: DecoderModel, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuning.run.prove", proof_with(0.01))
    report = run(base, repository)
    assert report.written == repository / DEFAULT_PROMPT
    assert read_prompt(report.written).manifest.proven


@pytest.mark.parametrize(("over", "serves"), [(0.01, True), (-0.01, False)])
def test_a_prompt_must_not_harm_retrieval(
    base: DecoderModel,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    over: float,
    serves: bool,
) -> None:
    """Serving has both; a prompt that only helps without retrieved code would do harm there."""
    gain = Gain(over, over - 0.02, over + 0.02)
    monkeypatch.setattr("tuning.run.prove", proof_with(0.01, gain))
    report = run(base, repository)
    assert report.proven == serves
    assert report.written is not None
    assert read_prompt(report.written).manifest.proven == serves


def test_an_unproven_prompt_never_replaces_a_good_one(
    base: DecoderModel, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = repository / DEFAULT_PROMPT
    good.parent.mkdir()
    good.write_bytes(b"the good one")
    monkeypatch.setattr("tuning.run.prove", proof_with(-0.01))
    report = run(base, repository)
    assert not report.proven
    assert good.read_bytes() == b"the good one"
    assert report.written == unproven_path(good)
    good.unlink()
    assert "is not proven" in PromptRouter(repository).choose(None).reason
    assert report.written.exists()


@pytest.mark.parametrize(("low", "kept"), [(0.01, True), (-0.01, False)])
def test_ctrl_c_keeps_only_what_proved_itself(
    base: DecoderModel,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    low: float,
    kept: bool,
) -> None:
    gains = iter([Gain(0.0, 0.0, 0.0), Gain(0.02, low, 0.05)])
    monkeypatch.setattr("tuning.run.paired_gain", lambda *arguments: next(gains))

    def on_progress(progress: Progress) -> None:
        if progress.phase is TRAIN and progress.fraction > 0.6:
            raise KeyboardInterrupt

    report = tune(base, collect(repository), None, CONFIG, on_progress)
    final = repository / DEFAULT_PROMPT
    assert report.interrupted
    assert final.exists() == kept
    assert (report.written == final) == kept
    left = sorted(file.name for file in (repository / ".attune").iterdir())
    assert left == [
        ".gitignore",
        *([final.name] if kept else []),
        "prompt.unfinished.safetensors",
    ]
    assert (repository / ".attune" / ".gitignore").read_text() == "*.unfinished.safetensors\n"


def test_a_bad_place_is_found_before_the_work(
    base: DecoderModel, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "train_job", None)  # must not be reached
    (repository / "file").write_text("")
    (repository / "p.attune.safetensors").mkdir()
    with pytest.raises(PromptWriteError, match="is a folder"):
        run(base, repository, repository / "p.attune.safetensors")
    with pytest.raises(PromptWriteError, match="choose another place"):
        run(base, repository, repository / "file" / "p.attune.safetensors")
    with pytest.raises(PromptWriteError, match="does not end with"):
        run(base, repository, repository / "p.bin")
    monkeypatch.setattr(publish.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(PromptWriteError, match="MB of free space"):
        run(base, repository)


def test_a_full_disk_loses_nothing(
    base: DecoderModel, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = repository / DEFAULT_PROMPT
    good.parent.mkdir()
    good.write_bytes(b"the good one")
    monkeypatch.setattr("tuning.run.prove", proof_with(0.01))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prompts.file.os.fsync", full)
    with pytest.raises(PromptWriteError, match="No space left"):
        run(base, repository)
    assert good.read_bytes() == b"the good one"
    assert {file.name for file in good.parent.iterdir()} == {".gitignore", good.name}


def test_a_prompt_of_another_model_is_not_measured(base: DecoderModel, repository: Path) -> None:
    report = run(base, repository)
    assert report.written is not None
    prompt = read_prompt(report.written)
    other = replace(prompt.manifest.model, tokenizer_fingerprint="0" * 64)
    foreign = replace(prompt, manifest=replace(prompt.manifest, model=other))
    write_prompt(report.written, foreign)
    with pytest.raises(IncompatiblePrompt, match="tokenizer"):
        evaluate(base, collect(repository), read_prompt(report.written), ignore)


def test_a_refresh_starts_from_the_present_prompt(
    base: DecoderModel, git_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = run(base, git_repository).written
    assert written is not None
    first = read_prompt(written)
    changed = git_repository / "package" / "file_2.py"
    changed.write_text(changed.read_text() + "\n\ndef quite_new(one):\n    return one\n")
    out = git_repository / "again.attune.safetensors"
    gains = (Gain(0.01 * step, 0.0, 1.0) for step in range(1, 10))  # every evaluation is better
    monkeypatch.setattr("tuning.run.paired_gain", lambda *arguments: next(gains))
    report = tune(base, collect(git_repository), out, CONFIG, ignore, present=written)
    assert report.written is not None
    second = read_prompt(report.written)
    assert second.manifest.lineage == (sha256_of(written),)
    for side in ("validation_files", "test_files"):
        assert second.manifest.recipe[side] == first.manifest.recipe[side]
    assert report.proof is not None
    assert [result.name for result in report.proof.results][:3] == [
        "no prompt",
        "prompt before the refresh",
        "this prompt",
    ]


def result(name: str, mean: float) -> ConditionResult:
    gain = Gain(mean, mean - 0.01, mean + 0.01)
    return ConditionResult(name, 1.0, gain)


@pytest.mark.parametrize(
    ("low", "high", "proven"),
    [(-0.5, -0.03, False), (-0.2, 0.1, False), (-0.1, 0.07, True), (0.02, 0.3, True)],
)
def test_a_prompt_that_costs_what_people_see_is_not_proven(
    low: float, high: float, proven: bool
) -> None:
    """Its bits are proven; the interval is that of the characters saved."""
    scores = AcceptanceScores(shown=0.4, right=0.7, saved=3.0, wrong=1.0)
    acceptance = Acceptance(200, 9, scores, scores, Gain((low + high) / 2, low, high))
    results = (result(THIS_PROMPT, 0.05),)
    proof = Proof(2, 4, results, results[0].gain, None, None, {}, acceptance)
    assert proof.proven is proven
    assert acceptance.costs_characters is not proven


@pytest.mark.parametrize(
    ("gain", "before", "servable"),
    [(0.05, 0.04, True), (0.05, 0.05, True), (0.05, 0.06, False), (0.005, 0.0, False)],
)
def test_a_refresh_serves_only_if_it_is_proven_and_no_worse_than_before(
    gain: float, before: float, servable: bool
) -> None:
    results = result(PRESENT, before), result(THIS_PROMPT, gain)
    proof = Proof(2, 4, results, results[1].gain, None, None, {})
    assert is_servable(proof, None) is servable


def test_a_refresh_that_finds_nothing_better_leaves_the_prompt_alone(
    base: DecoderModel, git_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = run(base, git_repository).written
    assert written is not None
    before = {file: file.read_bytes() for file in written.parent.iterdir()}
    gains = iter([Gain(0.02, 0.01, 0.03), *[Gain(0.01, 0.005, 0.02)] * 9])
    monkeypatch.setattr("tuning.run.paired_gain", lambda *arguments: next(gains))
    report = tune(base, collect(git_repository), written, CONFIG, ignore, present=written)
    assert report.written is None
    assert report.proof is None, "nothing to prove"
    assert {file: file.read_bytes() for file in written.parent.iterdir()} == before


def test_prompts_of_others_are_compared_with(base: DecoderModel, repository: Path) -> None:
    written = run(base, repository).written
    assert written is not None
    prompt = read_prompt(written)
    other = replace(prompt, manifest=replace(prompt.manifest, name="other"))
    proof = evaluate(base, collect(repository), prompt, ignore, against=[other])
    [swapped] = [one for one in proof.results if one.name == "prompt of other"]
    assert swapped.gain == proof.gain, "the same numbers under another name"
    assert proof.specificity == (0.0 if proof.gain.mean > 0 else None)


@pytest.mark.parametrize("form", ["kv-nope", "kv", "embedding"])
def test_a_prompt_for_some_files_says_so(base: DecoderModel, repository: Path, form: Form) -> None:
    config = replace(CONFIG, include=("package/file_*.py", "!package/file_3.py"), form=form)
    report = tune(base, collect(repository), None, config, ignore)
    assert report.written is not None
    prompt = read_prompt(report.written)
    assert sum(report.files.values()) == 11
    assert prompt.manifest.globs == config.include
    assert prompt.manifest.form == form
    assert prompt.embeddings.shape == prompt.manifest.shape
    again = evaluate(base, collect(repository), prompt, ignore)
    assert report.proof is not None
    assert again.gain.mean == pytest.approx(report.proof.gain.mean, abs=1e-6)


def test_no_file_for_a_pattern(base: DecoderModel, repository: Path) -> None:
    with pytest.raises(CorpusError, match="No file matches"):
        tune(base, collect(repository), None, replace(CONFIG, include=("*.rs",)), ignore)


def test_a_repository_in_another_language_is_tuned_on(base: DecoderModel, tmp_path: Path) -> None:
    for n in range(8):
        lines = (
            f"export function f_{n}_{m}(x_{m}: number) {{\n  const y_{n} = x_{m} + {n};\n"
            f"  return y_{n};\n}}\n\n"
            for m in range(2 + n)
        )
        (tmp_path / f"file_{n}.ts").write_text("".join(lines))
    report = run(base, tmp_path)
    assert report.proof is not None
    assert report.proof.holes > 0
    assert report.written is not None
    assert read_prompt(report.written).manifest.languages == ("typescript",)


def test_runs_that_begin_together_leave_each_others_probe(tmp_path: Path) -> None:
    """Two terminals may tune into one folder; neither may take the other's probe for its own."""
    target = tmp_path / "p.attune.safetensors"
    together = threading.Barrier(4)

    def begin(_: int) -> None:
        try:
            for _ in range(50):
                together.wait(60)
                with publish.writable(target):
                    pass
        except PromptWriteError:
            together.abort()
            raise

    with ThreadPoolExecutor(4) as runs:
        list(runs.map(begin, range(4)))
    assert list(tmp_path.iterdir()) == []


def test_places_are_shown_as_soon_as_there_is_a_prompt(
    base: DecoderModel, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the show threshold is chosen; later, where the proof completes both anyway."""
    monkeypatch.setattr("tuning.run.CALIBRATION_PLACES", FIRST_LOOK + 2)
    said: list[Progress] = []
    report = tune(base, collect(repository), None, CONFIG, said.append)
    shown = {
        phase: [progress.shown for progress in said if progress.phase == phase]
        for phase in (TRAIN, CALIBRATE, EVALUATE)
    }
    assert not any(shown[TRAIN])
    assert [text is not None for text in shown[CALIBRATE]] == [
        False,  # while the prompt is pruned
        *[True] * FIRST_LOOK,
        *[False] * 2,
    ]
    assert report.proof is not None
    assert report.proof.acceptance is not None
    assert [text for text in shown[EVALUATE] if text] == list(report.proof.acceptance.texts)


def test_the_report_names_the_evaluation_whose_prompt_is_written(
    base: DecoderModel,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last one within a standard error of the best is written, not the best one."""
    gains = iter([Gain(0.0, 0.0, 0.0), Gain(0.03, 0.0, 0.06), Gain(0.02, -0.01, 0.05)])
    monkeypatch.setattr("tuning.run.paired_gain", lambda *arguments: next(gains))
    monkeypatch.setattr("tuning.run.prove", proof_with(0.01))
    report = run(base, repository)
    assert report.selected.step == 6
    assert report.to_json()["selected_step"] == 6
    assert report.written is not None
    assert read_prompt(report.written).manifest.recipe["steps"] == 6
    show_report(report, details=True)
    assert "prompt is that of step 6" in " ".join(capsys.readouterr().out.split())


def test_progress_tells_the_selected_gain(capsys: pytest.CaptureFixture[str]) -> None:
    evaluations = [
        Evaluation(0.1 * n, n, 0.0, 0.0, Gain(mean, mean, mean))
        for n, mean in enumerate((0.0, 0.03, 0.02))
    ]
    with progress_display(json_lines=True) as on_progress:
        on_progress(Progress(TRAIN, 0.2, 2, 1.0, tuple(evaluations), evaluations[2]))
    line = json.loads(capsys.readouterr().err)
    assert (line["phase"], line["gain"], line["selected_gain"]) == ("train", 0.02, 0.02)
    assert "best" not in line


@dataclass(frozen=True, eq=False)
class OtherEngine:
    """The model as another engine serves it; it counts what was opened."""

    model: DecoderModel
    opened: list[object]
    forms: tuple[str, ...] = ("kv-nope", "kv")

    def refusal(self, form: str) -> str | None:
        return None if form in self.forms else f"tune one with --form {self.forms[0]}"

    @property
    def runtime(self) -> Runtime:
        return Runtime("llama.cpp", "float16", "Q4_1")

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def open(self, prompt: PromptFile | None = None) -> object:
        self.opened.append(prompt)
        return self.model.open(prompt)


def test_what_serves_is_what_proves(base: DecoderModel, repository: Path) -> None:
    served = OtherEngine(base, [])
    report = tune(base, collect(repository), None, CONFIG, ignore, served=served)
    assert served.opened
    assert report.written is not None
    measured = read_manifest(report.written).measured
    assert measured["runtime"] == {
        "engine": "llama.cpp",
        "precision": "float16",
        "quantisation": "Q4_1",
    }


def test_a_form_that_will_not_serve_is_refused_before_the_work(
    base: DecoderModel, repository: Path
) -> None:
    served = OtherEngine(base, [], forms=("embedding",))
    with pytest.raises(
        IncompatiblePrompt, match="the form kv-nope can serve here: tune one with --form emb"
    ):
        tune(base, collect(repository), None, CONFIG, ignore, served=served)
