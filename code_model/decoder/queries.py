"""Attention queries of given code, from which a kv prompt is initialised."""

from collections.abc import Sequence

import torch
from torch import Tensor

from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.llama import Attention, Llama, lower_right_mask, unrotate
from code_model.language_model import HeadQueries

PLACES = 128  # of each document, evenly spaced


@torch.no_grad()
def head_queries(model: Llama, ids: Sequence[int], prefix: PrefixKV) -> list[HeadQueries]:
    """For each layer, queries and outputs at `PLACES` of `ids`, behind the first virtual token.

    Queries are rotated if the prefix has positions, for the positions behind the whole prefix.
    """
    positions = torch.arange(len(ids)) + prefix.tokens - prefix.nope
    cos, sin = model.cos[positions], model.sin[positions]
    mask = lower_right_mask(len(ids), 1, torch.device("cpu"))
    places = torch.linspace(0, len(ids) - 1, min(PLACES, len(ids))).long()
    x = model.model.embed_tokens(torch.tensor(ids))[None]
    layers: list[HeadQueries] = []

    def attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        sink = prefix.kv[len(layers), :, :, :1]
        k, v = torch.cat((sink[0], k[0]), dim=1), torch.cat((sink[1], v[0]), dim=1)
        heads = q[0].reshape(attention.kv_heads, -1, *q.shape[2:])
        scores = (heads @ k[:, None].transpose(-1, -2)) * attention.head_dim**-0.5
        scores = scores.masked_fill(~mask, -torch.inf)
        outputs = scores.softmax(-1) @ v[:, None]
        if not prefix.positions:
            heads = unrotate(heads, cos, sin)
        layers.append(
            HeadQueries(
                queries=heads[:, :, places].flatten(1, 2),
                outputs=outputs[:, :, places].flatten(1, 2),
                log_sums=scores[:, :, places].logsumexp(-1).flatten(1),
            )
        )
        projected: Tensor = attention.o_proj(outputs.flatten(0, 1).transpose(0, 1).flatten(1)[None])
        return projected

    for block in model.blocks:
        x = block(x, cos, sin, attend)
    return layers
