"""Weighted cross-entropy over hidden states, without the logits of all of them at once."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 64  # rows whose logits exist at the same time


class _WithGradient(torch.autograd.Function):
    """A number whose gradient in `tensor` was computed together with it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, number: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return number.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return outer * gradient, outer, None


with_gradient = cast(Callable[[Tensor, Tensor, Tensor], Tensor], _WithGradient.apply)
"""`number` with its gradient in `tensor`: with_gradient(tensor, number, gradient).

What `number` depends on already, it still depends on.
"""


def loss_over_logits(
    logits_of: Callable[[Tensor], Tensor],
    hidden: Tensor,
    loss_of: Callable[[Tensor, slice], tuple[Tensor, Tensor]],
    *,
    chunk_rows: int = CHUNK,
) -> Tensor:
    """Sum of the losses over chunks of `hidden` (M, d), differentiable in it.

    `loss_of(logits (m, V), rows)` returns a chunk's loss and its gradient in the logits.
    """
    total, gradients = torch.zeros((), device=hidden.device), list[Tensor]()
    learning = torch.is_grad_enabled() and hidden.requires_grad
    for start in range(0, len(hidden), chunk_rows):
        rows = slice(start, min(start + chunk_rows, len(hidden)))
        chunk = hidden[rows].detach().requires_grad_(learning)
        logits = logits_of(chunk)
        loss, gradient = loss_of(logits.detach().float(), rows)
        total = total + loss
        if learning:
            gradients += torch.autograd.grad(logits, chunk, gradient.to(logits.dtype))
    if not learning:
        return total
    return with_gradient(hidden, total, torch.cat(gradients) if gradients else hidden.detach())


def weighted_cross_entropy(
    targets: Tensor, weights: Tensor, logits: Tensor, rows: slice
) -> tuple[Tensor, Tensor]:
    """The loss of some rows and its gradient in their logits (m, V), weight · (softmax - one-hot).

    `targets` and `weights` are those of all rows, (M). torch's own gradient takes twice as long.
    """
    logs = logits.log_softmax(-1)
    of_rows, factors = targets[rows, None], weights[rows, None]
    loss = -(logs.gather(-1, of_rows) * factors).sum()
    gradient = logs.exp_().scatter_add_(-1, of_rows, -torch.ones_like(factors)).mul_(factors)
    return loss, gradient
