"""bfloat16: whether it is faster on this machine, and models in it."""

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


def in_bfloat16(model: Llama) -> Llama:
    """A copy with its matrices in bfloat16, so that autocast need not convert them at each use.

    It must run under `autocast_of`, which leaves the rest in float32.
    """
    low = Llama(model.config)
    values = model.state_dict().items()
    low.load_state_dict(
        {name: tensor.bfloat16() if tensor.ndim == 2 else tensor for name, tensor in values},
        assign=True,
    )
    return low.requires_grad_(False).eval()


def autocast_of(model: Llama) -> torch.autocast:
    """The autocast context for a model: enabled only for one of `in_bfloat16`."""
    low = model.model.embed_tokens.weight.dtype == torch.bfloat16
    return torch.autocast("cpu", torch.bfloat16, enabled=low)
