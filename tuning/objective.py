"""The training loss of a step: weighted cross-entropy, and its gradient in the prefix's offsets."""

from collections.abc import Sequence

import torch
from torch import Tensor

from code_model.decoder.llama import Llama, PrefixKV
from tuning.config import TuningConfig
from tuning.examples import Example
from tuning.packed import hidden_states, loss_over_logits, pack
from tuning.prefix import Prefix
from tuning.worker_threads import map_in_threads, partition


def weights_of(example: Example, context_weight: float) -> list[float]:
    """Loss weights of all ids but the first: 1 for the scored ones, `context_weight` for others."""
    return [context_weight] * (len(example.ids) - 1 - example.scored) + [1.0] * example.scored


def step_loss(
    model: Llama,
    prefix: PrefixKV,
    examples: Sequence[Example],
    config: TuningConfig,
    *,
    recompute: bool = False,
) -> tuple[Tensor, float]:
    """The weighted sum of the cross-entropy (nats) of some examples, and the sum of the weights."""
    weights = [weights_of(example, config.context_weight) for example in examples]
    packed = pack([example.ids for example in examples], weights)
    hidden = hidden_states(model, packed, prefix, recompute=recompute)[packed.scored]

    def cross_entropy(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """The loss and its gradient, weight · (softmax - one-hot): torch's own takes twice as
        long."""
        logs = logits.log_softmax(-1)
        targets, weight = packed.targets[rows, None], packed.weights[rows, None]
        loss = -(logs.gather(-1, targets) * weight).sum()
        gradient = logs.exp_().scatter_add_(-1, targets, -torch.ones_like(weight)).mul_(weight)
        return loss, gradient

    return loss_over_logits(model, hidden, cross_entropy), float(packed.weights.sum())


def step_gradient(
    model: Llama,
    prefix: Prefix,
    examples: Sequence[Example],
    config: TuningConfig,
    *,
    bfloat16: bool = False,
    recompute: bool = False,
) -> tuple[float, float, Tensor]:
    """The two sums of `step_loss` and the gradient of the first in the prefix's offsets, computed
    in worker threads; zeros without examples."""

    def gradient_of(part: Sequence[Example]) -> tuple[float, float, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss, weight = step_loss(model, prefix.kv(model), part, config, recompute=recompute)
        (gradient,) = torch.autograd.grad(loss, prefix.delta)
        return loss.item(), weight, gradient

    n_threads = torch.get_num_threads()
    loss, weight, gradient = 0.0, 0.0, torch.zeros_like(prefix.delta)
    for sums in map_in_threads(gradient_of, partition(examples, n_threads), n_threads):
        loss, weight, gradient = loss + sums[0], weight + sums[1], gradient + sums[2]
    return loss, weight, gradient
