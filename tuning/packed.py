"""Packed documents behind one prefix: exact attention, no padding, scores only where they count.

Documents of different lengths stand one after another in a single row. Each token sees the whole
prefix and the tokens of its own document up to itself; positions start again behind the prefix in
each document. So everything but attention runs over N real tokens, and a document's loss is what
it is alone (a test compares). Shapes: N tokens of all documents together, P prefix tokens, M scored
tokens; the rest as in `code_model.decoder.llama`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from code_model.decoder.llama import Attention, Block, Llama, PrefixKV, unrotate

CHUNK = 64  # scored tokens whose logits exist at the same time in a worker thread


@dataclass(frozen=True)
class Packed:
    """Documents in one row.

    `ids` (N) are the inputs; `scored` (M) are the places in it whose next token counts, `targets`
    (M) those next tokens, `weights` (M) what each counts.
    """

    ids: Tensor
    lengths: tuple[int, ...]
    scored: Tensor
    targets: Tensor
    weights: Tensor


def pack(documents: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]) -> Packed:
    """Pack documents of at least two ids; `weights` has one number for each id but the first."""
    ids: list[int] = []
    scored, targets, counted = list[int](), list[int](), list[float]()
    for document, weighing in zip(documents, weights, strict=True):
        start = len(ids)
        ids += document[:-1]
        for offset, weight in enumerate(weighing):
            if weight:
                scored.append(start + offset)
                targets.append(document[offset + 1])
                counted.append(weight)
    return Packed(
        torch.tensor(ids),
        tuple(len(document) - 1 for document in documents),
        torch.tensor(scored, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        torch.tensor(counted, dtype=torch.float32),
    )


def hidden_states(
    model: Llama,
    packed: Packed,
    prefix: PrefixKV,
    *,
    recompute: bool = False,
) -> Tensor:
    """Hidden states (N, d) of packed documents behind the prefix.

    Differentiable in the prefix. `recompute` keeps only the layers' inputs for the backward pass
    and computes the rest again: a third more arithmetic for a fraction of the memory.
    """
    places = torch.cat([torch.arange(length) for length in packed.lengths])
    places = (places + prefix.tokens - prefix.nope).to(packed.ids.device)
    cos, sin = model.cos[places], model.sin[places]
    x = model.model.embed_tokens(packed.ids)[None].float()
    for layer, kv in zip(model.blocks, prefix.kv, strict=True):
        arguments = (layer, x, kv, cos, sin, packed.lengths, prefix.nope > 0)
        if recompute and torch.is_grad_enabled():
            x = checkpoint(_layer, *arguments, use_reentrant=False)
        else:
            x = _layer(*arguments)
    normed: Tensor = model.model.norm(x)
    return normed[0]


def _layer(
    layer: Block,
    x: Tensor,
    kv: Tensor,
    cos: Tensor,
    sin: Tensor,
    lengths: tuple[int, ...],
    nope: bool,
) -> Tensor:
    def each_document(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tensors = (q, k, v, unrotate(q, cos, sin)) if nope else (q, k, v)
        documents = zip(*(torch.split(one, list(lengths), 2) for one in tensors), strict=True)
        return torch.cat([attention.attend_behind(kv, *one) for one in documents], dim=1)

    computed: Tensor = layer(x, cos, sin, each_document)
    return computed


class _KnownGradient(torch.autograd.Function):
    """A number whose gradient in `hidden` was computed together with it."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, received: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return received * gradient, None, None


_known_gradient = cast(Callable[[Tensor, Tensor, Tensor], Tensor], _KnownGradient.apply)


def loss_over_logits(
    model: Llama, hidden: Tensor, loss_of: Callable[[Tensor, slice], tuple[Tensor, Tensor]]
) -> Tensor:
    """Sum of the losses over chunks of `hidden` (M, d), differentiable in it.

    `loss_of(logits (m, V), which rows)` returns a chunk's loss and its gradient in the logits. The
    logits of one chunk exist at a time, whatever the vocabulary.
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
    if not gradients:
        return total
    return _known_gradient(hidden, total, torch.cat(gradients))
