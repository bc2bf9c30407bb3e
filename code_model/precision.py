"""Whether bfloat16 pays on this machine."""

import time
from functools import cache

import torch


@cache
def bfloat16_wins(device: str = "cpu", width: int = 256) -> bool:
    """Whether a matrix product of this width is faster in bfloat16 here, by timing both.

    A CPU without bfloat16 instructions emulates them, several hundred times slower than float32.
    """
    if device != "cpu":
        return True
    seconds = []
    for dtype in (torch.bfloat16, torch.float32):
        matrix = torch.ones(width, width, dtype=dtype)
        matrix @ matrix
        began = time.perf_counter()
        for _ in range(4):
            matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return seconds[0] < seconds[1]
