"""The loss of a step: the weight of each token, and sums over examples."""

import pytest
import torch

from code_model.decoder.model import DecoderModel
from tuning.config import TuningConfig
from tuning.examples import Example
from tuning.objective import step_gradient, weights_of
from tuning.soft_prompt import SoftPrompt


def test_scored_ids_have_weight_one_and_the_rest_less() -> None:
    assert weights_of(Example([9, 30, 31, 32, 33], 2), 0.3) == [0.3, 0.3, 1.0, 1.0]


def test_a_step_is_the_sum_of_its_examples(base: DecoderModel) -> None:
    """So several processes may share them."""
    prompt = SoftPrompt(base.prompt_embeddings_of([0, 5, 6, 7], "kv-nope"), "kv-nope")
    examples = [Example(list(range(3, 20 + n)), 2 + n) for n in range(3)]
    config = TuningConfig(context_weight=0.3)
    loss, weight, gradient = step_gradient(base, prompt, examples, config)
    parts = [step_gradient(base, prompt, part, config) for part in (examples[:1], examples[1:], [])]
    assert loss == pytest.approx(sum(part[0] for part in parts), rel=1e-5)
    assert weight == pytest.approx(sum(part[1] for part in parts)) == 2 + 3 + 4 + 0.3 * 3 * 14
    torch.testing.assert_close(gradient, sum(part[2] for part in parts), atol=1e-3, rtol=1e-3)
    assert gradient.abs().max() > 0
