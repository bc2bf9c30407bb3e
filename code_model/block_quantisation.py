"""Matrices in whole numbers of 8 or 4 bits, with a scale for each block of a row.

Blocks of 32 columns share a scale, as in llama.cpp's Q8_0 and Q4_0. An int4 model keeps its
embedding and its head in int8, because every token passes through them.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Scheme = Literal["int8", "int4"]
SCHEMES: Final[tuple[Scheme, ...]] = get_args(Scheme)
BLOCK: Final = 32
"""Columns of a row that share a scale."""


def scheme_of(name: str, scheme: Scheme) -> Scheme:
    """The scheme for one matrix of a model in `scheme`, by the matrix's name."""
    return "int8" if "embed_tokens" in name or "lm_head" in name else scheme


@dataclass(frozen=True)
class Rounded:
    """A rounded matrix: numbers (rows, width) in int8, scales (rows, ⌈width / 32⌉) in float16."""

    numbers: Tensor
    scales: Tensor
    scheme: Scheme

    def floats(self) -> Tensor:
        """The matrix (rows, width) in float32, exactly as it is computed with."""
        scales = self.scales.float().repeat_interleave(BLOCK, dim=1)
        return self.numbers * scales[:, : self.numbers.shape[1]]


def rounded(weight: Tensor, scheme: Scheme) -> Rounded:
    """A matrix (rows, width) in whole numbers, each times the scale of its block.

    int8: the largest of a block becomes 127. int4: it becomes -8 or 7, whichever loses less in the
    sum of squares.
    """
    width = weight.shape[1]
    padded = F.pad(weight.detach().float(), (0, -width % BLOCK))
    blocks = padded.view(len(padded), -1, BLOCK)
    largest = blocks.abs().amax(-1, keepdim=True)
    if scheme == "int8":
        numbers, scales = _rounded_by(blocks, largest / 127, -127, 127)
    else:
        signed = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
        choices = [_rounded_by(blocks, scale, -8, 7) for scale in (signed / -8, signed / 7)]
        lost = torch.stack([((n * s - blocks) ** 2).sum(-1, keepdim=True) for n, s in choices])
        better = lost[1] < lost[0]
        numbers, scales = (
            torch.where(better, second, first) for first, second in zip(*choices, strict=True)
        )
    return Rounded(numbers.flatten(1)[:, :width].to(torch.int8), scales.squeeze(-1).half(), scheme)


def _rounded_by(blocks: Tensor, scales: Tensor, low: int, high: int) -> tuple[Tensor, Tensor]:
    scales = scales.half().float()  # as they are stored
    return (blocks / scales).nan_to_num().round().clamp(low, high), scales
