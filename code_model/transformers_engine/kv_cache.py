"""Caches for transformers: one that serving cuts without copying, and one that tuning only reads.

Keys and values are (B, G, N, D).
"""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

BLOCK = 512  # positions that a buffer grows by at least


class BufferedLayer(DynamicLayer):
    """A `DynamicLayer` in buffers that grow by doubling: a new token copies only itself."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take shape and type from the first keys and values."""
        super().lazy_initialization(key_states, value_states)
        self._buffers = [states[:, :, :0] for states in (key_states, value_states)]
        self.keys, self.values = self._buffers

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append; returns all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        if end > self._buffers[0].shape[2]:
            self._buffers = [_grown(buffer, start, end) for buffer in self._buffers]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self.keys, self.values


class ReadOnlyLayer(DynamicLayer):
    """A layer that shows the keys and values of a prefix in front of the new ones, and keeps none.

    So a layer can be computed twice, as gradient checkpointing does.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self._prefix = keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """The prefix and the new keys and values, of each sequence of the batch."""
        every = (len(key_states), -1, -1, -1)
        keys, values = (states.expand(every) for states in self._prefix)
        return torch.cat((keys, key_states), dim=2), torch.cat((values, value_states), dim=2)


def keys_and_values(cache: Cache) -> list[tuple[Tensor, Tensor]]:
    """Those of each layer."""
    layers: list[Any] = cache.layers
    return [(layer.keys, layer.values) for layer in layers]


def serving_cache(layers: int) -> Cache:
    """An empty cache of one sequence."""
    return Cache(layers=[BufferedLayer() for _ in range(layers)])


def crop(cache: Cache, length: int) -> None:
    """Drop everything behind the first `length` tokens."""
    cache.crop(min(0, length - int(cache.get_seq_length())))


def _grown(buffer: Tensor, used: int, needed: int) -> Tensor:
    batch, heads, capacity, size = buffer.shape
    grown = buffer.new_empty(batch, heads, max(needed + BLOCK, 2 * capacity), size)
    grown[:, :, :used] = buffer[:, :, :used]
    return grown
