"""Drift: what changed since the prompt was tuned, and what the prompt still saves there."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from code_model.decoder.model import DecoderModel
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile
from prompts.manifest import Manifest
from tests.unit.tuning.conftest import ignore
from tuning.corpus import CorpusError, collect
from tuning.drift import Drift, drift_of
from tuning.evaluate import Gain
from tuning.history import commit_of


def prompt_of(base: DecoderModel, root: Path) -> PromptFile:
    """Real tokens instead of a tuned prompt: drift asks for its gain only."""
    ids = list(range(16))
    embeddings = base.prompt_embeddings_of(ids, "kv-nope").detach().numpy()
    manifest = Manifest(
        name="p", form="kv-nope", num_virtual_tokens=16, model=base.identity,
        commit=commit_of(root), attune_version="0",
    )  # fmt: skip
    return PromptFile(manifest, np.ascontiguousarray(embeddings))


def test_drift_is_measured_on_changed_lines(base: DecoderModel, git_repository: Path) -> None:
    prompt = prompt_of(base, git_repository)
    still = drift_of(base, collect(git_repository), prompt, ignore)
    assert (still.changed_files, still.gain) == (0, None)
    assert "Nothing has changed" in still.advice
    file = git_repository / "package" / "file_3.py"
    file.write_text(file.read_text() + "\n\ndef quite_new(first, second):\n    return first\n")
    name = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *name, "commit", "-qam", "Add"], cwd=git_repository, check=True)
    drift = drift_of(base, collect(git_repository), prompt, ignore)
    assert (drift.commits, drift.changed_files, drift.changed_lines) == (1, 1, 4)
    assert drift.holes > 0
    assert drift.gain is not None
    assert drift.to_json()["gain"] == round(drift.gain.mean, 5)


def test_what_cannot_be_measured_is_refused_with_the_reason(
    base: DecoderModel, git_repository: Path
) -> None:
    prompt = prompt_of(base, git_repository)
    corpus = collect(git_repository)
    for commit, sentence in ((None, "outside of git"), ("0" * 40, "is not known")):
        other = replace(prompt, manifest=replace(prompt.manifest, commit=commit))
        with pytest.raises(CorpusError, match=sentence):
            drift_of(base, corpus, other, ignore)
    foreign = replace(prompt.manifest.model, model_fingerprint="0" * 64)
    with pytest.raises(IncompatiblePrompt):
        drift_of(
            base, corpus, replace(prompt, manifest=replace(prompt.manifest, model=foreign)), ignore
        )


@pytest.mark.parametrize(("gain", "words"), [(0.01, "--refresh"), (0.04, "still helps")])
def test_a_prompt_that_lost_half_of_its_gain_is_due(gain: float, words: str) -> None:
    drift = Drift(3, 10, 2, 40, 20, Gain(gain, 0.0, 0.1), 0.05)
    assert words in drift.advice
    assert drift.to_json()["drifted"] is ("--refresh" in words)
