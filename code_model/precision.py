"""Whether bfloat16 pays on this machine."""

import time
from functools import cache

import torch

from code_model.llama import Llama


@cache
def bfloat16_wins(device: str = "cpu", width: int = 256) -> bool:
    """Whether a matrix product of this width is faster in bfloat16 here, by timing both.

    A CPU without bfloat16 instructions emulates them, several hundred times slower than float32.
    """
    if device != "cpu":
        return True
    return _seconds(torch.bfloat16, width) < _seconds(torch.float32, width)


def in_bfloat16(model: Llama) -> Llama:
    """A copy whose matrices are in bfloat16, as autocast would have them at every single use; it
    computes under autocast, which leaves the rest in float32."""
    low = Llama(model.config)
    values = model.state_dict().items()
    low.load_state_dict(
        {name: one.bfloat16() if one.ndim == 2 else one for name, one in values}, assign=True
    )
    return low.requires_grad_(False).eval()


def _seconds(dtype: torch.dtype, width: int) -> float:
    """The quickest of several products: the others waited for something else."""
    matrix = torch.ones(width, width, dtype=dtype)
    taken = []
    for _ in range(9):
        began = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - began)
    return min(taken)
