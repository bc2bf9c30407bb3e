"""Nats of packed sequences behind a prefix: scores, and the weighted loss with its gradient.

Both spread their sequences over worker threads. The logits of `CHUNK` tokens exist at a time in
each, whatever the vocabulary. Shapes as in `code_model.decoder.packed`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from code_model.cancel import StepCancelledError
from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.llama import Llama
from code_model.decoder.packed import hidden_states, pack
from code_model.decoder.precision import autocast_of
from code_model.decoder.worker_threads import map_in_threads, partition
from code_model.language_model import ScoredSequence
from code_model.logit_loss import (
    CHUNK,
    loss_over_logits,
    weighted_cross_entropy,
    with_gradient,
)

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
            nats_of = partial(weighted_cross_entropy, packed.targets, packed.weights)
            loss = loss_over_logits(model.logits, hidden, nats_of)
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
    return with_gradient(prefix.kv, loss, gradient) if learning else loss
