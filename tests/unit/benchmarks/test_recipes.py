"""Recipes in a short form, with the tiny model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import recipes
from benchmarks.acceptance import Package, compare, comparison_table
from benchmarks.recipes import ExpectedAcceptance
from benchmarks.tuned_prompts import tuned_prompt
from code_model.decoder.model import DecoderModel
from tuning.config import TuningConfig
from tuning.proof import RETRIEVAL, Condition

CONFIG = TuningConfig(
    steps=2, num_virtual_tokens=4, max_tokens=64, held_out_tokens=64, validation_holes=2
)


class Letters:
    """A model whose token n is the n-th of these texts."""

    tokenizer: Any

    def __init__(self, texts: list[str]) -> None:
        self.tokenizer = self
        self._texts = texts

    def decode(self, ids: list[int]) -> str:
        return "".join(self._texts[each] for each in ids)


def test_the_weights_are_the_gradient_of_the_expected_characters() -> None:
    texts = ["return", " x", "\n", "y", " = ", "1"]
    model: Any = Letters(texts)
    log_p = torch.tensor([-0.1, -0.5, -0.2, -1.0, -0.01, -2.0], requires_grad=True)
    expected = torch.tensor(0.0)
    for start in range(len(texts)):
        joint = torch.tensor(0.0)
        for token in range(start, len(texts)):
            joint = joint + log_p[token]
            expected = expected + len(texts[token]) * joint.exp()
            if "\n" in texts[token]:
                break
    (gradient,) = torch.autograd.grad(expected, log_p)
    nats = (-log_p).tolist()
    weights = ExpectedAcceptance(model)._weights(range(len(texts)), nats)
    assert weights == pytest.approx(gradient.tolist())


def test_the_loss_keeps_the_sum_of_the_weights(base: DecoderModel) -> None:
    given: list[Any] = []

    class Recorder:
        def __getattr__(self, name: str) -> Any:
            return getattr(base, name)

        def loss(self, prefix: Any, sequences: Any, weights: Any) -> None:
            given.append(weights)

    recorder: Any = Recorder()
    ids = base.tokenizer.encode("def area(width):\n    return width * 2\n")
    weights = [[0.3] * 4 + [1.0] * (len(ids) - 5)]
    ExpectedAcceptance(recorder).loss(base.bare_prefix(), [ids], weights)
    (found,) = given
    assert sum(found[0]) == pytest.approx(sum(weights[0]))
    assert found != weights


# the tiny model has no positions for so many virtual tokens
@pytest.mark.parametrize("name", [name for name in recipes.RECIPES if not name[0].isdigit()])
def test_every_recipe_makes_something_that_completes(
    name: str, base: DecoderModel, repository: Path, tmp_path: Path
) -> None:
    made = recipes.RECIPES[name](base, repository, CONFIG, tmp_path)
    assert made.retrieval
    package = Package.of(repository, 4, None, tmp_path)
    bare = package.replay("bare", Condition(base, None, retrieval=True))
    replays = {RETRIEVAL: bare, name: package.replay(name, made)}
    figures = compare(replays, RETRIEVAL, base.show_thresholds)
    assert figures["places"] == 4
    assert list(figures["conditions"]) == [RETRIEVAL, name]
    assert figures["conditions"][RETRIEVAL]["gain"] == 0.0
    assert comparison_table("", {"package": figures}).row_count == 2


def test_all_weights_change_and_the_model_stays(
    base: DecoderModel, repository: Path, tmp_path: Path
) -> None:
    before = base.weights_hash()
    tuned = recipes.RECIPES["all weights"](base, repository, CONFIG, tmp_path).model
    assert isinstance(tuned, DecoderModel)
    assert tuned.weights_hash() != before
    assert base.weights_hash() == before


def test_the_recipes_own_part_of_the_way_is_its_prompt(
    base: DecoderModel, repository: Path, tmp_path: Path
) -> None:
    prompts = {
        share: recipes.by_part_of_the_way(share)(base, repository, CONFIG, tmp_path).prompt
        for share in (CONFIG.wise_ft_alpha, 1.0)
    }
    own, further = prompts.values()
    assert own is not None
    assert further is not None
    whole = tuned_prompt(base, repository, CONFIG, tmp_path)
    assert own.embeddings == pytest.approx(whole.embeddings, abs=1e-5)
    assert own.embeddings.shape == further.embeddings.shape


def test_a_prompt_is_tuned_once(
    base: DecoderModel, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tuned_prompt(base, repository, CONFIG, tmp_path)
    assert "step 2" in capsys.readouterr().err
    again = tuned_prompt(base, repository, CONFIG, tmp_path)
    assert not capsys.readouterr().err
    assert again.tensor_sha256 == first.tensor_sha256
    whole = tuned_prompt(base, repository, replace(CONFIG, keep_ratio=1.0), tmp_path)
    assert not capsys.readouterr().err  # the same tuning, pruned otherwise
    tokens = [each.manifest.num_virtual_tokens for each in (first, whole)]
    assert tokens == [len(first.embeddings), len(whole.embeddings)] == [2, 4]
    with_objective = tuned_prompt(base, repository, CONFIG, tmp_path, objective=ExpectedAcceptance)
    assert with_objective.tensor_sha256 != first.tensor_sha256
    longer = tuned_prompt(base, repository, replace(CONFIG, steps=3), tmp_path)
    assert longer.tensor_sha256 != first.tensor_sha256
