"""A run through the transformers engine: its prompt serves there, and in our own decoder alike."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from code_model.decoder.model import DecoderModel
from code_model.language_model import ScoredIds
from code_model.loading import load_tunable_model
from code_model.model_choice import ModelChoice
from code_model.transformers_engine.model import TransformersModel
from prompts.file import read_prompt
from prompts.form import Form
from tests.unit.tuning.conftest import CONFIG, ignore
from tuning import run as run_module
from tuning.corpus import collect
from tuning.query_clusters import clustered
from tuning.run import tune
from tuning.soft_prompt import initial_prompt

IDS = [7, 3, 250, 14, 9, 9, 31, 102, 55, 4, 19, 77]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> TransformersModel:
    choice = ModelChoice(tiny_model, engine="transformers", device="cpu", precision="float32")
    loaded = load_tunable_model(choice)
    assert isinstance(loaded, TransformersModel)
    return loaded


@pytest.mark.parametrize("form", ["kv", "embedding"])
def test_a_tuned_prompt_serves_in_both_engines(
    model: TransformersModel,
    base: DecoderModel,
    repository: Path,
    form: Form,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "CALIBRATION_PLACES", 4)
    config = replace(CONFIG, form=form, steps=3, validation_holes=2, test_holes=4)
    before = model.weights_hash()
    report = tune(model, collect(repository), None, config, ignore)
    assert model.weights_hash() == before
    assert report.written is not None
    prompt = read_prompt(report.written)
    assert prompt.manifest.form == form
    assert report.proof is not None
    sequences = [ScoredIds(IDS, len(IDS) - 1)]
    served, elsewhere = (each.open(prompt).score(sequences)[0] for each in (model, base))
    assert served == pytest.approx(elsewhere, abs=1e-3)
    assert served != pytest.approx(model.open().score(sequences)[0], abs=1e-2)


def test_without_queries_a_prompt_starts_as_real_code(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = model.prompt_embeddings_of(IDS, "kv")
    clusters = clustered(model, text, [IDS * 4], "kv", 0, ignore)
    assert clusters is not None
    assert not torch.equal(clusters, text)
    monkeypatch.setattr(model.network, "attends", False)
    assert clustered(model, text, [IDS * 4], "kv", 0, ignore) is None
    config = replace(CONFIG, form="kv", num_virtual_tokens=len(IDS))
    examples = [ScoredIds(IDS, 4)] * 64
    start = initial_prompt(model, config, [], examples, ignore).prompt_embeddings()
    code = model.prompt_embeddings_of(model.encoder.beginning_ids * len(IDS), "kv")  # no files
    torch.testing.assert_close(start, code)
