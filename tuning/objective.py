"""What a step minimises: cross-entropy on the code, divergence from a teacher, both per token.

The teacher is the same frozen model without a prompt. On holes it sees retrieved code of other
files, which the prompt is to stand for (distillation); on generic code it sees what the student
sees, and the prompt is to change nothing (anchor).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from code_model.decoder.llama import Llama, PrefixKV
from tuning.config import TuningConfig
from tuning.examples import Example
from tuning.packed import Packed, hidden_states, loss_over_logits, pack
from tuning.prefix import Prefix
from tuning.worker_threads import dealt, lanes_of, side_by_side

TOP_K = 24
MAX_CACHED = 4096


class Teacher:
    """What the frozen model expects, kept as its `TOP_K` likeliest tokens and one bucket of the
    rest, so that the divergence stays that of two distributions."""

    def __init__(self, model: Llama, no_prompt: PrefixKV) -> None:
        self._model, self._no_prompt = model, no_prompt
        self._cached: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def expects(self, example: Example) -> tuple[Tensor, Tensor]:
        """Ids (M, K) and log-probabilities (M, K + 1, the last of the rest) for the scored tokens.

        Computed alone, not in a batch, so that they are the same bits however often.
        """
        key = (example.scored, *example.teacher)
        known = self._cached.get(key)
        if known is None:
            packed = pack([example.teacher], [[1.0] * (len(example.teacher) - 1)])
            hidden = hidden_states(self._model, packed, self._no_prompt)[-example.scored :]
            logs = self._model.logits(hidden).float().log_softmax(-1)
            top = logs.topk(TOP_K)
            known = (top.indices, with_rest(top.values))
            if len(self._cached) >= MAX_CACHED:  # another lane may clear it at any time
                self._cached.clear()
            self._cached[key] = known
        return known


def with_rest(logs: Tensor) -> Tensor:
    """Log-probabilities (M, K) with one more: of everything else."""
    rest = torch.log1p(-logs.exp().sum(-1, keepdim=True).clamp(max=1 - 1e-6))
    return torch.cat((logs, rest), dim=-1)


def weights_of(example: Example, context_weight: float) -> list[float]:
    """Weights of all ids but the first: 1 for what the example scores, less for the rest.

    What only the teacher speaks of has no rest.
    """
    before = len(example.ids) - 1 - example.scored
    rest = context_weight if example.taught < 1 else 0.0
    return [rest] * before + [1.0] * example.scored


def step_loss(
    model: Llama,
    prefix: PrefixKV,
    examples: Sequence[Example],
    config: TuningConfig,
    teacher: Teacher | None = None,
    *,
    recompute: bool = False,
) -> tuple[Tensor, float]:
    """The weighted sum of the losses (nats), and the sum of the weights, of some examples.

    What a token weighs is said by `weights_of`.
    """
    weights = [weights_of(one, config.context_weight) for one in examples]
    packed = pack([one.ids for one in examples], weights)
    hidden = hidden_states(model, packed, prefix, recompute=recompute)[packed.scored]
    total = float(packed.weights.sum())
    if teacher is None or not any(one.taught for one in examples):
        return loss_over_logits(model, hidden, _cross_entropy(packed, packed.weights)), total
    share = torch.zeros(len(packed.scored))
    ids = torch.zeros(len(packed.scored), TOP_K, dtype=torch.long)
    logs = torch.zeros(len(packed.scored), TOP_K + 1)
    end = 0
    for one, weighing in zip(examples, weights, strict=True):
        end += sum(weight > 0 for weight in weighing)
        if one.taught:
            rows = slice(end - one.scored, end)
            share[rows] = one.taught
            ids[rows], logs[rows] = teacher.expects(one)
    known = _cross_entropy(packed, packed.weights * (1 - share))

    def loss_of(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        loss, gradient = known(logits, rows)
        with torch.enable_grad():
            leaf = logits.requires_grad_()
            own = with_rest(leaf.log_softmax(-1).gather(-1, ids[rows]))
            apart = (logs[rows].exp() * (logs[rows] - own)).sum(-1)
            divergence = (apart * (packed.weights * share)[rows]).sum()
            (more,) = torch.autograd.grad(divergence, leaf)
        return loss + divergence.detach(), gradient + more

    return loss_over_logits(model, hidden, loss_of), total


def step_gradient(
    model: Llama,
    prefix: Prefix,
    examples: Sequence[Example],
    config: TuningConfig,
    teacher: Teacher | None = None,
    *,
    bfloat16: bool = False,
    recompute: bool = False,
) -> tuple[float, float, Tensor]:
    """The two sums of `step_loss` and the gradient of the first in the prefix's offsets, computed
    side by side in lanes; zeros without examples."""

    def learnt(part: Sequence[Example]) -> tuple[float, float, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss, weight = step_loss(
                model, prefix.kv(model), part, config, teacher, recompute=recompute
            )
        (gradient,) = torch.autograd.grad(loss, prefix.delta)
        return loss.item(), weight, gradient

    lanes = lanes_of(model)
    loss, weight, gradient = 0.0, 0.0, torch.zeros_like(prefix.delta)
    for one in side_by_side(learnt, dealt(examples, lanes), lanes):
        loss, weight, gradient = loss + one[0], weight + one[1], gradient + one[2]
    return loss, weight, gradient


def _cross_entropy(
    packed: Packed, weights: Tensor
) -> Callable[[Tensor, slice], tuple[Tensor, Tensor]]:
    """The loss and its gradient, weight · (softmax - one-hot): torch's own takes twice as long."""

    def loss_of(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        logs = logits.log_softmax(-1)
        targets, counted = packed.targets[rows, None], weights[rows, None]
        loss = -(logs.gather(-1, targets) * counted).sum()
        gradient = logs.exp_().scatter_add_(-1, targets, -torch.ones_like(counted)).mul_(counted)
        return loss, gradient

    return loss_of
