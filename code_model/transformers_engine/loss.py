"""Nats of sequences behind a prefix: scores, and the weighted loss with its gradient.

Sequences stand in padded batches. Padding is behind the tokens, which do not see it, and positions
begin again behind the prefix in every sequence, so each has the loss that it has alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from code_model import logit_loss
from code_model.cancel import StepCancelledError
from code_model.language_model import ScoredSequence
from code_model.logit_loss import loss_over_logits, weighted_cross_entropy, with_gradient
from code_model.transformers_engine.network import Network
from code_model.transformers_engine.prefix import Prefix

BATCH_TOKENS = {"cpu": 2048}  # of a batch, with its padding, on a device
BATCH_TOKENS_ON_ACCELERATOR = 16384
CHUNK_ON_ACCELERATOR = 1024  # rows whose logits exist at the same time


@dataclass(frozen=True)
class _Batch:
    """Padded inputs (B, T); M scored places, given by row and column; what follows them.

    `order` holds the sequences' indices, row by row.
    """

    ids: Tensor
    rows: Tensor
    columns: Tensor
    targets: Tensor
    weights: Tensor
    order: tuple[int, ...]


def nats(
    network: Network,
    prefix: Prefix,
    sequences: Sequence[ScoredSequence],
    cancelled: Callable[[], bool] = lambda: False,
) -> list[list[float]]:
    """Nats of each sequence's scored ids. Raises `StepCancelledError` between two batches."""
    result = list[list[float]]([[] for _ in sequences])
    weights = [
        [0.0] * (len(each.ids) - 1 - each.scored) + [1.0] * each.scored for each in sequences
    ]
    with torch.inference_mode():
        for batch in _batches(network, [each.ids for each in sequences], weights):
            if cancelled():
                raise StepCancelledError
            hidden = _hidden_states(network, prefix, batch)
            losses = list[float]()
            chunk = _chunk_rows(network)
            for part, targets in zip(hidden.split(chunk), batch.targets.split(chunk), strict=True):
                logits = network.logits(part).float()
                losses += F.cross_entropy(logits, targets, reduction="none").tolist()
            for index in batch.order:
                count = sequences[index].scored
                result[index], losses = losses[:count], losses[count:]
    return result


def weighted_nats(
    network: Network,
    prefix: Prefix,
    sequences: Sequence[Sequence[int]],
    weights: Sequence[Sequence[float]],
    *,
    recompute: bool = False,
) -> Tensor:
    """The weighted sum of the sequences' nats, differentiable in the prefix.

    The gradient in the prefix is computed with each batch, so the activations of one batch exist
    at a time. `recompute` keeps only the layers' inputs of them.
    """
    given = (prefix.keys, prefix.values)
    learning = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    if learning:
        network.keep_differentiable()
    keys, values = (tensor.detach().requires_grad_(learning) for tensor in given)
    behind = replace(prefix, keys=keys, values=values)
    total = torch.zeros((), device=network.device)
    gradients = [torch.zeros_like(tensor) for tensor in given]
    with torch.set_grad_enabled(learning):
        for batch in _batches(network, sequences, weights):
            context = network.recomputing() if recompute and learning else nullcontext()
            with context:
                hidden = _hidden_states(network, behind, batch)
                loss = loss_over_logits(
                    network.logits,
                    hidden,
                    partial(weighted_cross_entropy, batch.targets, batch.weights),
                    chunk_rows=_chunk_rows(network),
                )
                if learning and loss.requires_grad:
                    for gradient, part in zip(
                        gradients, torch.autograd.grad(loss, (keys, values)), strict=True
                    ):
                        gradient += part
            total = total + loss.detach()
    if learning:
        for tensor, gradient in zip(given, gradients, strict=True):
            if tensor.requires_grad:
                total = with_gradient(tensor, total, gradient)
    return total


def _hidden_states(network: Network, prefix: Prefix, batch: _Batch) -> Tensor:
    """Hidden states (M, d) of the scored places of a batch."""
    start = prefix.tokens - prefix.nope
    positions = torch.arange(start, start + batch.ids.shape[1], device=network.device)
    cache = prefix.read_only(network.dtype) if prefix.tokens else None
    attend = prefix.attend(network, positions)
    hidden = network.hidden(positions, cache, ids=batch.ids, attend=attend)
    return hidden[batch.rows, batch.columns]


def _batches(
    network: Network, sequences: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]
) -> Iterator[_Batch]:
    """Batches of sequences of similar lengths, so that there is little padding."""
    limit = BATCH_TOKENS.get(network.device.type, BATCH_TOKENS_ON_ACCELERATOR)
    batch = list[int]()
    for index in sorted(range(len(sequences)), key=lambda index: len(sequences[index])):
        if batch and (len(batch) + 1) * len(sequences[index]) > limit:
            yield _batch(network, batch, sequences, weights)
            batch = []
        batch.append(index)
    if batch:
        yield _batch(network, batch, sequences, weights)


def _batch(
    network: Network,
    order: list[int],
    sequences: Sequence[Sequence[int]],
    weights: Sequence[Sequence[float]],
) -> _Batch:
    rows, columns, targets = list[int](), list[int](), list[int]()
    nonzero = list[float]()
    for row, index in enumerate(order):
        for column, weight in enumerate(weights[index]):
            if weight:
                rows.append(row)
                columns.append(column)
                targets.append(sequences[index][column + 1])
                nonzero.append(weight)
    ids = pad_sequence([torch.tensor(sequences[index][:-1]) for index in order], batch_first=True)
    device = network.device
    places = torch.tensor([rows, columns, targets], dtype=torch.long, device=device)
    factors = torch.tensor(nonzero, device=device)
    return _Batch(ids.to(device), places[0], places[1], places[2], factors, tuple(order))


def _chunk_rows(network: Network) -> int:
    return logit_loss.CHUNK if network.device.type == "cpu" else CHUNK_ON_ACCELERATOR
