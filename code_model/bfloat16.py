"""Whether bfloat16 is faster than float32 on this machine, by timing both."""

import math
import time
from functools import cache

import torch
from torch import Tensor

PROBE_SECONDS = 0.1
PROBE_ROUNDS = 3  # at least, where a single product takes long


@cache
def bfloat16_wins(device: str = "cpu", width: int = 256) -> bool:
    """Whether a matrix product of this width is faster in bfloat16 here, by timing both.

    A CPU without bfloat16 instructions emulates them, several hundred times slower than float32.
    """
    if device != "cpu":
        return True
    low, full = (torch.ones(width, width, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    return _faster(low, full)


def _faster(first: Tensor, second: Tensor) -> bool:
    """Whether squaring the first matrix takes less time than the second.

    Compares the fastest of many alternating runs: kernels need warming up, and other processes
    disturb single runs.
    """
    best = [math.inf, math.inf]
    probe_started, rounds = time.perf_counter(), 0
    while rounds < PROBE_ROUNDS or time.perf_counter() - probe_started < PROBE_SECONDS:
        for number, matrix in enumerate((first, second)):
            started = time.perf_counter()
            matrix @ matrix
            best[number] = min(best[number], time.perf_counter() - started)
        rounds += 1
    return best[0] < best[1]
