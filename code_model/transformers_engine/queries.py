"""Attention queries of given code, from which a kv prompt is initialised."""

from collections.abc import Sequence

import torch
from torch import Tensor

from code_model.language_model import HeadQueries
from code_model.transformers_engine.attention import unrotate
from code_model.transformers_engine.network import Network
from code_model.transformers_engine.prefix import Prefix

PLACES = 128  # of each document, evenly spaced


class _Recorder:
    """Attends behind the prefix's first virtual token alone, and records queries and outputs."""

    def __init__(
        self, prefix: Prefix, places: Tensor, rotation: tuple[Tensor, Tensor] | None
    ) -> None:
        self.layers: list[HeadQueries] = []
        self._prefix, self._places, self._rotation = prefix, places, rotation

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float
    ) -> Tensor:
        tokens, heads, size = q.shape[2], k.shape[1], q.shape[3]
        sink_key, sink_value = (
            tensor[layer, :, :1].to(q.dtype) for tensor in (self._prefix.keys, self._prefix.values)
        )
        keys = torch.cat((sink_key, k[0]), dim=1)[:, None]
        values = torch.cat((sink_value, v[0]), dim=1)[:, None]
        by_head = q[0].reshape(heads, -1, tokens, size)
        scores = (by_head @ keys.mT).float() * scaling
        seen = torch.ones(tokens, tokens + 1, dtype=torch.bool, device=q.device).tril(1)
        scores = scores.masked_fill(~seen, -torch.inf)
        outputs = scores.softmax(-1).to(values.dtype) @ values
        asked = q if self._rotation is None else unrotate(q, *self._rotation)
        asked = asked[0].reshape(by_head.shape) * (scaling * size**0.5)  # see `HeadQueries`
        here = (each[:, :, self._places] for each in (asked, outputs))
        queries, given = (each.flatten(1, 2).float().cpu() for each in here)
        log_sums = scores[:, :, self._places].logsumexp(-1).flatten(1).cpu()
        self.layers.append(HeadQueries(queries, given, log_sums))
        return outputs.reshape(1, -1, tokens, values.shape[-1])


@torch.no_grad()
def head_queries(network: Network, ids: Sequence[int], prefix: Prefix) -> list[HeadQueries]:
    """For each layer, queries and outputs at `PLACES` of `ids`, behind the first virtual token.

    Queries are rotated if the prefix has positions, for the positions behind the whole prefix.
    """
    start = prefix.tokens - prefix.nope
    positions = torch.arange(start, start + len(ids), device=network.device)
    rotation = None if prefix.positions else network.rotation(positions)
    places = torch.linspace(0, len(ids) - 1, min(PLACES, len(ids))).long().to(network.device)
    recorder = _Recorder(prefix, places, rotation)
    on_device = torch.tensor(ids, device=network.device)[None]
    network.hidden(positions, None, ids=on_device, attend=recorder)
    return recorder.layers
