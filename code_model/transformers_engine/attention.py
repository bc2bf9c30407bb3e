"""An attention function for transformers that lets the engine compute attention itself.

It is registered as "attune". Without the argument `attune_attend` it is torch's own attention, as
in transformers' "sdpa"; with it, that function attends in every layer. Shapes: B batch, T queries,
N keys, H query heads, G key/value heads, D head dimension.
"""

from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME: Final = "attune"
UNKNOWN_TERMS = ("softcap", "s_aux", "position_bias")  # of the scores, which `Attend` leaves out


class Attend(Protocol):
    """Computes the attention of one layer."""

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float
    ) -> Tensor:
        """Outputs (B, H, T, D) of queries (B, H, T, D) over keys and values (B, G, N, D).

        Queries and keys are rotated. `mask` (B or 1, 1, T, N) is true where a key is seen; None:
        a single query that sees all, or as many keys as queries, seen causally.
        """


class UnsupportedAttentionError(ValueError):
    """A layer's scores have terms that `Attend` does not get."""


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    attune_attend: Attend | None = None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls in each layer; returns (B, T, H, D)."""
    if attune_attend is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )
        return plain
    if any(others.get(name) is not None for name in UNKNOWN_TERMS):
        raise UnsupportedAttentionError
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = module.layer_idx
    output = attune_attend(layer, query, key, value, attention_mask, scale)  # type: ignore[arg-type]
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def causal_mask(mask: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
    """The mask that `Attend` was given, written out where it is causal; None: all keys are seen."""
    tokens, keys = q.shape[2], k.shape[2]
    if mask is not None or tokens == 1:
        return mask
    return torch.ones(tokens, keys, dtype=torch.bool, device=q.device).tril(keys - tokens)


def unrotate(q: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries (B, H, T, D) before their rotation by tables (B or 1, T, D or the part rotated).

    Half-split rotary positions (arXiv 2104.09864), turned by the negative angle.
    """
    cos, sin = cos[:, None], sin[:, None]
    turned, rest = q.tensor_split((cos.shape[-1],), dim=-1)
    first, second = turned.chunk(2, dim=-1)
    back = turned * cos - torch.cat((-second, first), dim=-1) * sin
    return torch.cat((back.to(q.dtype), rest), dim=-1)


class BesideNope:
    """Attention over keys of which those 1 to `nope` meet queries before their rotation."""

    def __init__(self, nope: int, cos: Tensor, sin: Tensor) -> None:
        self.nope, self.cos, self.sin = nope, cos, sin

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float
    ) -> Tensor:
        """See `Attend`. The first `nope` + 1 keys are virtual tokens, which every query sees."""
        batch, heads, tokens, size = q.shape
        grouped = (batch, k.shape[1], -1, size)  # heads that share keys become one matrix
        unrotated = (unrotate(q, self.cos, self.sin) * scaling).reshape(grouped)
        rotated = (q * scaling).reshape(grouped)
        sink, virtual, rest = k.tensor_split((1, 1 + self.nope), dim=2)
        scores = torch.cat((rotated @ sink.mT, unrotated @ virtual.mT, rotated @ rest.mT), dim=-1)
        seen = causal_mask(mask, q, k)
        if seen is not None:
            by_head = scores.view(batch, heads, tokens, -1)
            scores = by_head.masked_fill(~seen, -torch.inf).view_as(scores)
        shares = scores.softmax(-1, dtype=torch.float32).to(v.dtype)
        return (shares @ v).view(batch, heads, tokens, -1)
