"""Matrices of 8 or 4 bits, packed as the compiled step reads them (`quantised.h`).

The packed numbers are the only copy: torch gets them back as floats some rows at a time.
"""

from collections.abc import Iterator
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from code_model.block_quantisation import BLOCK, Rounded, Scheme

TILE: Final = 64
"""Rows that lie together, as in quantised.h."""
PART: Final = 2048
"""Rows that exist as floats at a time."""
_SCALE_BYTES = TILE * 2


class Quantised(nn.Module):
    """A packed matrix (rows, width), frozen.

    `packed` (tiles of 64 rows, blocks of 32 columns, bytes) holds 64 scales in float16 and the
    numbers of each block. Rows and columns beyond the matrix are zero.
    """

    def __init__(self, matrix: Rounded) -> None:
        super().__init__()
        self.rows, self.width = matrix.numbers.shape
        self.scheme = matrix.scheme
        rows, columns = -self.rows % TILE, -self.width % BLOCK
        numbers = F.pad(matrix.numbers, (0, columns, 0, rows))
        scales = F.pad(matrix.scales, (0, 0, 0, rows))
        self.packed: Tensor
        self.register_buffer("packed", _packed(numbers, scales, self.scheme))

    @property
    def shape(self) -> torch.Size:
        """Rows and width, as of a tensor."""
        return torch.Size((self.rows, self.width))

    @property
    def weight(self) -> Tensor:
        """The whole matrix as floats, made anew at every access."""
        return torch.cat(list(self.parts()))

    def parts(self) -> Iterator[Tensor]:
        """The matrix as floats, `PART` rows at a time."""
        for start in range(0, self.rows, PART):
            tiles = self.packed[start // TILE : (start + PART) // TILE]
            yield _floats(tiles, self.scheme)[: self.rows - start, : self.width]

    def times(self, x: Tensor) -> Tensor:
        """`x` (…, width) times the transposed matrix: (…, rows). Differentiable in `x`."""
        product: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return product


class QuantisedLinear(Quantised):
    """In place of a linear layer."""

    def __init__(self, matrix: Rounded, bias: nn.Parameter | None = None) -> None:
        super().__init__(matrix)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """(…, width) to (…, rows)."""
        product = self.times(x)
        return product if self.bias is None else product + self.bias


class QuantisedEmbedding(Quantised):
    """In place of an embedding."""

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (…) to their rows (…, width)."""
        flat = ids.flatten()
        rows = _floats(self.packed[flat // TILE], self.scheme)
        # sizes are named because of a model without a beginning token, whose prefix has no ids
        rows = rows.view(len(flat), TILE, rows.shape[1])[
            torch.arange(len(flat)), flat % TILE, : self.width
        ]
        return rows.view(*ids.shape, self.width)

    def project(self, hidden: Tensor) -> Tensor:
        """Logits (…, rows) of hidden states (…, width), where the head is the embedding."""
        return self.times(hidden)


class _Product(torch.autograd.Function):
    """A product that keeps no floats of the matrix for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Quantised) -> Tensor:
        ctx.matrix = matrix
        return torch.cat([F.linear(x, part) for part in matrix.parts()], dim=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        matrix: Quantised = ctx.matrix
        gradient = torch.zeros(())
        for of_part, part in zip(
            torch.split(gradients[0], PART, dim=-1), matrix.parts(), strict=True
        ):
            gradient = gradient + of_part @ part
        return gradient, None


def dense_state(model: nn.Module) -> dict[str, Tensor]:
    """A model's weights by their names in a checkpoint, all of them as floats."""
    matrices = {name: m for name, m in model.named_modules() if isinstance(m, Quantised)}
    state = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name.removesuffix(".packed") not in matrices
    }
    return state | {f"{name}.weight": matrix.weight for name, matrix in matrices.items()}


def _packed(numbers: Tensor, scales: Tensor, scheme: Scheme) -> Tensor:
    """The layout of `quantised.h`, of padded numbers (rows, width) and their scales."""
    tiles, blocks = len(numbers) // TILE, scales.shape[1]
    if scheme == "int8":  # as half words, two columns are moved at a time
        pairs = numbers.contiguous().view(torch.int16).view(tiles, TILE, blocks, -1)
        content = pairs.permute(0, 2, 3, 1).contiguous().view(torch.uint8).view(tiles, blocks, -1)
    else:
        columns = numbers.view(tiles, TILE, blocks, BLOCK).transpose(1, 2)  # (…, rows, columns)
        # (…, 8 columns each, rows, even and odd columns, 4 nibbles of a half word)
        nibbles = columns.reshape(tiles, blocks, TILE, 4, 4, 2).permute(0, 1, 3, 2, 5, 4)
        low, high = (nibbles[..., first::2].contiguous() & 15 for first in (0, 1))
        content = (low | high << 4).view(torch.uint8).view(tiles, blocks, -1)
    first = scales.view(tiles, TILE, blocks).transpose(1, 2).contiguous().view(torch.uint8)
    return torch.cat((first, content), dim=-1)


def _floats(packed: Tensor, scheme: Scheme) -> Tensor:
    """The padded matrix (rows, width) of tiles (tiles, blocks, bytes), in float32."""
    tiles, blocks, _ = packed.shape
    scales = packed[..., :_SCALE_BYTES].contiguous().view(torch.float16)
    content = packed[..., _SCALE_BYTES:].contiguous().view(torch.int8)
    if scheme == "int8":  # as half words, two columns are moved at a time
        pairs = content.view(torch.int16).view(tiles, blocks, BLOCK // 2, TILE)
        # a clone: an empty tensor counts as contiguous as it is
        columns = pairs.transpose(2, 3).clone(memory_format=torch.contiguous_format)
        columns = columns.view(torch.int8)
    else:
        low, high = content << 4 >> 4, content >> 4
        nibbles = torch.stack((low, high), -1).view(tiles, blocks, 4, TILE, 2, 4)
        columns = nibbles.permute(0, 1, 3, 2, 5, 4).flatten(3)
    matrix = columns * scales.float()[..., None]  # (tiles, blocks, rows, columns)
    return matrix.transpose(1, 2).reshape(tiles * TILE, blocks * BLOCK)
