"""Canaries: each is planted once, detected if memorised, and learnt by the prompt's own recipe."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from code_context.context import ContextConfig
from code_model.decoder.model import DecoderModel
from prompts.file import read_prompt
from tests.conftest import TEXT
from tests.unit.tuning.conftest import CONFIG, ignore
from tuning import canaries as canaries_module
from tuning.canaries import (
    ALTERNATIVES,
    Canary,
    CanaryScores,
    canary_scores,
    exposures_of,
    plant,
    retrained_prefix,
)
from tuning.corpus import Corpus, SourceFile, collect
from tuning.evaluate import Gain
from tuning.job import Job, recorded_job
from tuning.recorded import RecordedRecipe, record, recorded_recipe
from tuning.run import tune
from tuning.split import Split

FILES = [SourceFile(f"file_{n}.py", TEXT.replace("Reader", f"Reader{n}")) for n in range(10)]


def test_canaries_are_planted_once_each() -> None:
    planted, canaries = plant(FILES, seed=1)
    assert len(canaries) == 8
    whole = "".join(file.text for file in planted)
    texts = {file.path: file.text for file in planted}
    for canary in canaries:
        assert whole.count(canary.secret) == 1
        assert texts[canary.path].startswith(f'{canary.before}{canary.secret}"\n')
    assert plant(FILES, seed=1) == (planted, canaries)
    assert plant(FILES, seed=2)[1] != canaries


def test_exposure_of_what_was_not_planted_is_chance(base: DecoderModel) -> None:
    """The p-value is not small for texts that nothing was tuned on."""
    _, canaries = plant(FILES, seed=1)
    exposures = exposures_of(base, base.bare_prefix(), canaries, seed=1)
    assert all(0 <= bits <= math.log2(ALTERNATIVES + 1) for bits in exposures)
    assert not CanaryScores(exposures, exposures).memorised
    assert CanaryScores((7.0,) * 8, exposures).memorised
    assert not CanaryScores((7.0, *(0.5,) * 7), exposures).memorised


def test_the_canaries_run_is_the_prompts_own(
    base: DecoderModel, git_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same files it makes the same bytes, in the default form: with decay by size, retrieved
    code, globs, average, and the schedule of a run whose selected prompt is not its last."""
    gains = iter([Gain(0.0, 0.0, 0.0), Gain(0.1, 0.1, 0.1), Gain(0.0, 0.0, 0.0)])
    monkeypatch.setattr("tuning.run.paired_gain", lambda *arguments: next(gains))
    monkeypatch.setattr("tuning.run.prove_job", _no_proof)
    config = replace(CONFIG, include=("package/**", "!package/file_3.py"), retrieved=1.0)
    corpus = collect(git_repository)
    report = tune(base, corpus, None, config, ignore)
    assert report.written is not None
    prompt = read_prompt(report.written)
    recipe = recorded_recipe(prompt.manifest)
    assert (recipe.steps, recipe.total_steps) == (3, 6)
    prefixes = []
    monkeypatch.setattr(canaries_module, "plant", lambda files, seed: (list(files), []))
    monkeypatch.setattr(
        canaries_module,
        "exposures_of",
        lambda model, prefix, canaries, seed: prefixes.append(prefix) or (),
    )
    canary_scores(recorded_job(base, corpus, prompt.manifest), prompt, ignore)
    own = base.prefix_of(torch.from_numpy(prompt.embeddings), "kv-nope")
    np.testing.assert_array_equal(prefixes[1].kv.numpy(), own.kv.numpy())


def _no_proof(job: Job, conditions: object, progress: object) -> None:
    """Ctrl-C at the proof: the validation files have proved the prompt, so it is written."""
    raise KeyboardInterrupt


def test_a_memorised_secret_is_noticed(base: DecoderModel) -> None:
    """A recipe that trains on nothing but one canary learns it, and the exposure shows it."""
    canary = Canary("a.py", 'TOKEN = "', "q7x0k2m9v4b1n8z3")
    file = SourceFile("a.py", f'{canary.before}{canary.secret}"\n' * 4)
    config = replace(
        CONFIG, steps=40, causal_fraction=1.0, wise_ft_alpha=1.0, weight_decay=0.0, max_tokens=96
    )
    split = Split((file,), (file,), (file,))
    job = Job(base, Corpus(Path(), (file,)), config, split, {}, ContextConfig())
    values = record(config, split, steps=40, total_steps=40, bfloat16=False)
    recipe = RecordedRecipe(**values)
    prefix = retrained_prefix(job, recipe, ignore)
    exposures = exposures_of(base, prefix, [canary], seed=1)
    assert CanaryScores(exposures, exposures).memorised
    without = exposures_of(base, base.bare_prefix(), [canary], seed=1)
    assert not CanaryScores(without, without).memorised
