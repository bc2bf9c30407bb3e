"""Packed sequences behind one prefix: exact attention without padding.

Sequences of different lengths stand one after another in a single row. Each token sees the whole
prefix and the tokens of its own sequence up to itself; positions start again behind the prefix in
each sequence. So everything but attention runs over N real tokens, and a sequence's hidden states
are what they are alone (a test compares). Shapes: N tokens of all sequences together, P prefix
tokens, M scored tokens; the rest as in `code_model.decoder.llama`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from code_model.cancel import StepCancelledError
from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.llama import Attention, Block, Llama, unrotate


@dataclass(frozen=True)
class Packed:
    """Sequences in one row.

    `ids` (N) are the inputs; `scored` (M) are the indices into it whose next token counts,
    `targets` (M) those next tokens, `weights` (M) what each counts.
    """

    ids: Tensor
    lengths: tuple[int, ...]
    scored: Tensor
    targets: Tensor
    weights: Tensor


def pack(sequences: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]) -> Packed:
    """Pack sequences of at least two ids; `weights` has one number for each id but the first."""
    ids: list[int] = []
    scored, targets, nonzero = list[int](), list[int](), list[float]()
    for sequence, sequence_weights in zip(sequences, weights, strict=True):
        start = len(ids)
        ids += sequence[:-1]
        for offset, weight in enumerate(sequence_weights):
            if weight:
                scored.append(start + offset)
                targets.append(sequence[offset + 1])
                nonzero.append(weight)
    return Packed(
        torch.tensor(ids),
        tuple(len(sequence) - 1 for sequence in sequences),
        torch.tensor(scored, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        torch.tensor(nonzero, dtype=torch.float32),
    )


def hidden_states(
    model: Llama,
    packed: Packed,
    prefix: PrefixKV,
    *,
    recompute: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Hidden states (N, d) of packed sequences behind the prefix.

    Differentiable in the prefix. `recompute` keeps only the layers' inputs for the backward pass
    and computes the rest again: a third more arithmetic for a fraction of the memory. Raises
    `StepCancelledError` at the next layer after `cancelled` returns true.
    """
    positions = torch.cat([torch.arange(length) for length in packed.lengths])
    positions = (positions + prefix.tokens - prefix.nope).to(packed.ids.device)
    cos, sin = model.cos[positions], model.sin[positions]
    x = model.model.embed_tokens(packed.ids)[None].float()
    for block, kv in zip(model.blocks, prefix.kv, strict=True):
        if cancelled():
            raise StepCancelledError
        arguments = (block, x, kv, cos, sin, packed.lengths, prefix.nope > 0)
        if recompute and torch.is_grad_enabled():
            x = checkpoint(_layer, *arguments, use_reentrant=False)
        else:
            x = _layer(*arguments)
    normed: Tensor = model.model.norm(x)
    return normed[0]


def _layer(
    block: Block,
    x: Tensor,
    kv: Tensor,
    cos: Tensor,
    sin: Tensor,
    lengths: tuple[int, ...],
    nope: bool,
) -> Tensor:
    def attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tensors = (q, k, v, unrotate(q, cos, sin)) if nope else (q, k, v)
        sequences = zip(*(torch.split(tensor, list(lengths), 2) for tensor in tensors), strict=True)
        return torch.cat([attention.attend_behind(kv, *each) for each in sequences], dim=1)

    output: Tensor = block(x, cos, sin, attend)
    return output
