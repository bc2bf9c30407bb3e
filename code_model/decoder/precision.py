"""Whether bfloat16 pays on this machine."""

import math
import time
from functools import cache

import torch
from torch import Tensor

from code_model.decoder.llama import Llama

PROBE_SECONDS = 0.1
PROBE_ROUNDS = 3  # at least, where a single product takes long


@cache
def bfloat16_wins(device: str = "cpu", width: int = 256) -> bool:
    """Whether a matrix product of this width is faster in bfloat16 here, by timing both.

    A CPU without bfloat16 instructions emulates them, several hundred times slower than float32.
    """
    if device != "cpu":
        return True
    low, full = (torch.ones(width, width, dtype=one) for one in (torch.bfloat16, torch.float32))
    return _quicker(low, full)


def _quicker(one: Tensor, other: Tensor) -> bool:
    """Whether the first matrix's square takes less time than the other's: the quickest of many by
    turns, because a kernel is slow until it is warm, and some of them wait for something else."""
    best = [math.inf, math.inf]
    began, rounds = time.perf_counter(), 0
    while rounds < PROBE_ROUNDS or time.perf_counter() - began < PROBE_SECONDS:
        for number, matrix in enumerate((one, other)):
            started = time.perf_counter()
            matrix @ matrix
            best[number] = min(best[number], time.perf_counter() - started)
        rounds += 1
    return best[0] < best[1]


def in_bfloat16(model: Llama) -> Llama:
    """A copy whose matrices are in bfloat16, as autocast would have them at every single use; it
    computes under autocast (`autocast_of`), which leaves the rest in float32."""
    low = Llama(model.config)
    values = model.state_dict().items()
    low.load_state_dict(
        {name: one.bfloat16() if one.ndim == 2 else one for name, one in values}, assign=True
    )
    return low.requires_grad_(False).eval()


def autocast_of(model: Llama) -> torch.autocast:
    """What such a copy computes under, and what changes nothing for any other model."""
    low = model.model.embed_tokens.weight.dtype == torch.bfloat16
    return torch.autocast("cpu", torch.bfloat16, enabled=low)
