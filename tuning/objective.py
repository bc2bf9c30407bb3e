"""The training loss of a step: weighted cross-entropy, and its gradient in the prompt's offsets."""

from collections.abc import Sequence

import torch
from torch import Tensor

from code_model.language_model import TunableModel
from tuning.config import TuningConfig
from tuning.examples import Example
from tuning.soft_prompt import SoftPrompt


def weights_of(example: Example, context_weight: float) -> list[float]:
    """Loss weights of all ids but the first: 1 for the scored ones, `context_weight` for others."""
    return [context_weight] * (len(example.ids) - 1 - example.scored) + [1.0] * example.scored


def step_gradient(
    model: TunableModel, prompt: SoftPrompt, examples: Sequence[Example], config: TuningConfig
) -> tuple[float, float, Tensor]:
    """The weighted sum of the examples' nats, the sum of the weights, and the gradient of the first
    in the prompt's offsets; zeros without examples."""
    if not examples:
        return 0.0, 0.0, torch.zeros_like(prompt.delta)
    weights = [weights_of(example, config.context_weight) for example in examples]
    prefix = model.prefix_of(prompt.prompt_embeddings(), prompt.form)
    loss = model.loss(prefix, [example.ids for example in examples], weights)
    (gradient,) = torch.autograd.grad(loss, prompt.delta)
    return loss.item(), sum(map(sum, weights)), gradient
