"""What every proof compares with."""

from dataclasses import replace
from pathlib import Path

import pytest

from code_model.decoder.model import DecoderModel
from code_model.loading import load_model
from prompts.file import PromptFile, write_prompt
from prompts.manifest import Manifest
from tuning import controls
from tuning.controls import GENERIC_NAME, control_conditions, shipped


@pytest.fixture
def prompt(base: DecoderModel) -> PromptFile:
    embeddings = base.prompt_embeddings_of(list(range(16)), "kv")
    manifest = Manifest(
        name="mine", form="kv", num_virtual_tokens=16, model=base.identity, attune_version="0"
    )
    return PromptFile(manifest, embeddings.numpy())


@pytest.mark.shipped_weights
def test_the_default_model_has_its_controls() -> None:
    """Tuned anew whenever the weights change; they are of this very model."""
    names = [control.manifest.name for control in shipped(load_model().identity)]
    assert len(names) == 3
    assert GENERIC_NAME in names


def test_a_repository_is_not_its_own_control(
    base: DecoderModel, prompt: PromptFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "FOLDER", tmp_path)
    for name in ("one", "two", GENERIC_NAME):
        named = replace(prompt, manifest=replace(prompt.manifest, name=name))
        write_prompt(tmp_path / f"{name}.attune.safetensors", named)
    assert list(control_conditions(base, "one")) == ["generic prompt", "prompt of two"]
    assert set(control_conditions(base, "three", [prompt])) == {
        "prompt of " + prompt.manifest.name,
        "prompt of one",
        "prompt of two",
        "generic prompt",
    }


def test_another_model_has_none(base: DecoderModel) -> None:
    assert shipped(base.identity) == ()
