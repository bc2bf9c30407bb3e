"""Nats of packed sequences behind a prefix: scores, and the weighted loss with its gradient.

Both spread their sequences over worker threads. The logits of `CHUNK` tokens exist at a time in
each, whatever the vocabulary. Shapes as in `code_model.decoder.packed`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from code_model.cancel import StepCancelledError
from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.llama import Llama
from code_model.decoder.packed import Packed, hidden_states, pack
from code_model.decoder.precision import autocast_of
from code_model.decoder.worker_threads import map_in_threads, partition
from code_model.language_model import ScoredSequence

CHUNK = 64  # scored tokens whose logits exist at the same time in a worker thread
BATCH = 8  # sequences scored in one row


def nats(
    model: Llama,
    prefix: PrefixKV,
    sequences: Sequence[ScoredSequence],
    cancelled: Callable[[], bool] = lambda: False,
) -> list[list[float]]:
    """Nats of each sequence's scored ids, in the precision of the weights.

    Raises `StepCancelledError` at the next layer after `cancelled` returns true.
    """
    batches = [sequences[start : start + BATCH] for start in range(0, len(sequences), BATCH)]
    scored = map_in_threads(
        partial(_nats_of_batch, model, prefix, cancelled), batches, torch.get_num_threads()
    )
    return [each for batch in scored for each in batch]


@torch.no_grad()
def _nats_of_batch(
    model: Llama,
    prefix: PrefixKV,
    cancelled: Callable[[], bool],
    batch: Sequence[ScoredSequence],
) -> list[list[float]]:
    packed = pack(
        [each.ids for each in batch],
        [[0.0] * (len(each.ids) - 1 - each.scored) + [1.0] * each.scored for each in batch],
    )
    chunks = list[Tensor]()
    with autocast_of(model):
        hidden = hidden_states(model, packed, prefix, cancelled=cancelled)[packed.scored]
        for part, targets in zip(
            torch.split(hidden, CHUNK), torch.split(packed.targets, CHUNK), strict=True
        ):
            if cancelled():
                raise StepCancelledError
            logits = model.logits(part).float()
            chunks.append(F.cross_entropy(logits, targets, reduction="none"))
    parts = torch.split(torch.cat(chunks), [each.scored for each in batch])
    return [part.tolist() for part in parts]


def weighted_nats(
    model: Llama,
    prefix: PrefixKV,
    sequences: Sequence[Sequence[int]],
    weights: Sequence[Sequence[float]],
    *,
    recompute: bool = False,
) -> Tensor:
    """The weighted sum of the sequences' nats, differentiable in the prefix.

    Each worker thread computes its part's loss together with the gradient in the prefix, so the
    backward pass of the sum only multiplies.
    """
    learning = torch.is_grad_enabled() and prefix.kv.requires_grad

    def part_of_loss(part: list[int]) -> tuple[Tensor, Tensor | None]:
        packed = pack([sequences[n] for n in part], [weights[n] for n in part])
        kv = prefix.kv.detach().requires_grad_(learning)
        with torch.set_grad_enabled(learning), autocast_of(model):
            behind = replace(prefix, kv=kv)
            hidden = hidden_states(model, packed, behind, recompute=recompute)[packed.scored]
            loss = loss_over_logits(model, hidden, partial(_cross_entropy, packed))
        if not learning:
            return loss, None
        (gradient,) = torch.autograd.grad(loss, kv)
        return loss.detach(), gradient

    workers = torch.get_num_threads()
    parts = partition([len(sequence) for sequence in sequences], workers)
    loss, gradient = torch.zeros(()), torch.zeros_like(prefix.kv)
    for part_loss, part_gradient in map_in_threads(part_of_loss, parts, workers):
        loss = loss + part_loss
        if part_gradient is not None:
            gradient += part_gradient
    return _with_gradient(prefix.kv, loss, gradient) if learning else loss


class _WithGradient(torch.autograd.Function):
    """A number whose gradient in `tensor` was computed together with it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, number: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return number

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return outer * gradient, None, None


_with_gradient = cast(Callable[[Tensor, Tensor, Tensor], Tensor], _WithGradient.apply)


def loss_over_logits(
    model: Llama, hidden: Tensor, loss_of: Callable[[Tensor, slice], tuple[Tensor, Tensor]]
) -> Tensor:
    """Sum of the losses over chunks of `hidden` (M, d), differentiable in it.

    `loss_of(logits (m, V), rows)` returns a chunk's loss and its gradient in the logits.
    """
    total, gradients = torch.zeros((), device=hidden.device), list[Tensor]()
    learning = torch.is_grad_enabled() and hidden.requires_grad
    for start in range(0, len(hidden), CHUNK):
        rows = slice(start, min(start + CHUNK, len(hidden)))
        chunk = hidden[rows].detach().requires_grad_(learning)
        logits = model.logits(chunk)
        loss, gradient = loss_of(logits.detach().float(), rows)
        total = total + loss
        if learning:
            gradients += torch.autograd.grad(logits, chunk, gradient.to(logits.dtype))
    if not learning:
        return total
    return _with_gradient(hidden, total, torch.cat(gradients) if gradients else hidden.detach())


def _cross_entropy(packed: Packed, logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """The loss and its gradient, weight · (softmax - one-hot): torch's own takes twice as long."""
    logs = logits.log_softmax(-1)
    targets, weights = packed.targets[rows, None], packed.weights[rows, None]
    loss = -(logs.gather(-1, targets) * weights).sum()
    gradient = logs.exp_().scatter_add_(-1, targets, -torch.ones_like(weights)).mul_(weights)
    return loss, gradient
