"""Keys and values: a soft prompt's, and the cache of one sequence behind it.

Shapes as in `code_model.decoder.llama`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from code_model.decoder.llama import LlamaConfig

BLOCK = 16  # positions that decode.cpp reads together


@dataclass(frozen=True)
class PrefixKV:
    """Keys and values `kv` (L, 2, G, P, D) of virtual tokens.

    With `positions`, keys are rotated for the positions 0..P-1, as those of real tokens, and the
    text begins at position P. Without (NoPE, arXiv 2305.19466), all keys but the first meet queries
    before their rotation, so a virtual token is equally near to every position of the text, which
    begins at position 1. The first is the attention sink, which the model expects at position 0.
    """

    kv: Tensor
    positions: bool = True

    @property
    def tokens(self) -> int:
        """The number P of virtual tokens."""
        return self.kv.shape[3]

    @property
    def nope(self) -> int:
        """The number of virtual tokens without positions: all but the first, or none."""
        return 0 if self.positions else max(0, self.tokens - 1)


class KVCache:
    """Static key/value buffers of one sequence: (L, G, capacity, D) each; `length` tokens valid.

    Tokens 1 to `nope` have no positions (`PrefixKV`), so a later token's position is its index
    minus `nope`. Serving uses float16, as llama.cpp does: half the memory to read at every step.
    """

    def __init__(
        self, config: "LlamaConfig", capacity: int, dtype: torch.dtype = torch.float16
    ) -> None:
        shape = (
            config.num_hidden_layers,
            config.num_key_value_heads,
            -(-capacity // BLOCK) * BLOCK,
            config.head_dim,
        )
        # not cleared: the system commits memory only for positions that are used
        self.keys = torch.empty(shape, dtype=dtype)
        self.values = torch.empty(shape, dtype=dtype)
        self.capacity = capacity
        self.length = self.nope = 0

    def rewind(self, length: int) -> None:
        """Drop everything after the first `length` tokens without copying."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot rewind {self.length} cached tokens to {length}")
        self.length = length

    def load_prefix(self, prefix: PrefixKV) -> None:
        """Replace the content with the keys and values of `prefix`."""
        self.keys[:, :, : prefix.tokens] = prefix.kv[:, 0]
        self.values[:, :, : prefix.tokens] = prefix.kv[:, 1]
        self.length, self.nope = prefix.tokens, prefix.nope
