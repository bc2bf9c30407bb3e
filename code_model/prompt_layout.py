"""The layout of kv prompts in PEFT's files, from rows to keys and values and back.

PREFIX_TUNING and CARTRIDGE of PEFT write (P, 2·L·G·D): of each of P virtual tokens layer 0's keys
of all heads, layer 0's values, layer 1's keys, … Here keys and values are (L, 2, G, P, D), for L
layers, G key/value heads and D channels.
"""

from torch import Tensor


def rows_to_kv(rows: Tensor, layers: int, heads: int, head_dim: int) -> Tensor:
    """(P, 2·L·G·D) to (L, 2, G, P, D)."""
    return rows.view(-1, layers, 2, heads, head_dim).permute(1, 2, 3, 0, 4)


def kv_to_rows(kv: Tensor) -> Tensor:
    """(L, 2, G, P, D) to (P, 2·L·G·D)."""
    return kv.permute(3, 0, 1, 2, 4).reshape(kv.shape[3], -1)
