"""From the prompt embeddings of a file to the beginning of llama.cpp's cache.

In the form kv, prompt embeddings have PEFT's layout, and keys are rotated as transformers rotates
them: channels i and i + D/2 together. llama.cpp's architecture "llama" rotates the channels 2i and
2i + 1 together and stores its key weights in that order (`LlamaModel.permute` in llama.cpp's
converter), so there the channels of a key are reordered; Qwen's architectures keep the order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from code_model.llama_cpp.sequence_state import SequenceState
from prompts.manifest import ModelIdentity

INTERLEAVED = {"llama": True, "qwen2": False, "qwen3": False}
"""The architectures whose prompts can be served, and whether they rotate neighbouring channels."""


@dataclass(frozen=True)
class KVShape:
    """Sizes of keys and values: L layers, G key/value heads, D channels; and the order of keys."""

    layers: int
    heads: int
    channels: int
    interleaved: bool

    @classmethod
    def of(cls, identity: ModelIdentity, architecture: str) -> "KVShape":
        """Of a model of an `architecture` in `INTERLEAVED`."""
        return cls(
            identity.num_layers,
            identity.num_key_value_heads,
            identity.head_dim,
            INTERLEAVED[architecture],
        )

    @property
    def width(self) -> int:
        """Numbers in one layer's keys, or values, of one position."""
        return self.heads * self.channels

    def state_of_rows(self, rows: NDArray[np.floating]) -> SequenceState:
        """Prompt embeddings (P, 2·L·G·D) as llama.cpp keeps them."""
        kv = rows.reshape(len(rows), self.layers, 2, self.heads, self.channels)
        keys, values = kv[:, :, 0], kv[:, :, 1]
        if self.interleaved:
            halves = keys.reshape(*keys.shape[:-1], 2, self.channels // 2)
            keys = halves.swapaxes(-1, -2).reshape(keys.shape)
        return SequenceState(self._by_layer(keys), self._by_layer(values))

    def rows_of_state(self, state: SequenceState) -> NDArray[np.float32]:
        """The inverse of `state_of_rows`."""
        shape = (self.layers, -1, self.heads, self.channels)
        keys, values = state.keys.reshape(shape), state.values.reshape(shape)
        if self.interleaved:
            pairs = keys.reshape(*keys.shape[:-1], self.channels // 2, 2)
            keys = pairs.swapaxes(-1, -2).reshape(keys.shape)
        kv = np.stack([keys, values]).transpose(2, 1, 0, 3, 4)
        return kv.reshape(kv.shape[0], -1).astype(np.float32)

    def _by_layer(self, tensor: NDArray[np.floating]) -> NDArray[np.floating]:
        """(P, L, G, D) to (L, P, G·D)."""
        return tensor.transpose(1, 0, 2, 3).reshape(self.layers, len(tensor), self.width)
