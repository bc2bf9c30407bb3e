"""Quantised weights on the disk, so that a model ships and loads as it serves.

`config.json` says so under `quantization_config`. Each matrix `NAME` is a tensor of its whole
numbers, int8 (rows, width), or uint8 (rows, ⌈width / 2⌉) with two of four bits in a byte, the first
in the low half; and `NAME_scale`, float16 (rows, ⌈width / 32⌉). They are those that
`code_model.block_quantisation` gives, so nothing is rounded again. All else is as in a folder of
full weights.

Our own decoder computes with the whole numbers. The transformers engine computes with the floats
that they stand for.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from code_model.block_quantisation import BLOCK, SCHEMES, Rounded, Scheme, rounded, scheme_of
from code_model.model_folder import STORED_BY

SCALE: Final = "_scale"


def description(scheme: Scheme) -> dict[str, Any]:
    """The `quantization_config` of a model in `scheme`."""
    return {"quant_method": STORED_BY, "scheme": scheme, "group_size": BLOCK}


def stored_weights(weights: Mapping[str, Tensor], scheme: Scheme) -> dict[str, Tensor]:
    """The tensors of a file in `scheme`, of weights by their names in a checkpoint."""
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.ndim == 2:
            matrix = rounded(weight, scheme_of(name, scheme))
            stored[name] = matrix.numbers if matrix.scheme == "int8" else _paired(matrix.numbers)
            stored[name + SCALE] = matrix.scales
        else:
            stored[name] = weight
    return stored


def read_matrix(
    name: str, stored: Mapping[str, Tensor], shape: torch.Size, scheme: Scheme
) -> Rounded:
    """The matrix `name` (rows, width) of a file in `scheme`. Raises `ValueError`."""
    scheme = scheme_of(name, scheme)
    rows, width = shape
    scales = _tensor(stored, name + SCALE, torch.float16, (rows, -(-width // BLOCK)))
    if scheme == "int8":
        return Rounded(_tensor(stored, name, torch.int8, (rows, width)), scales, scheme)
    pairs = _tensor(stored, name, torch.uint8, (rows, -(-width // 2)))
    return Rounded(_separate(pairs)[:, :width], scales, scheme)


def full_weights(stored: Mapping[str, Tensor], scheme: Scheme) -> dict[str, Tensor]:
    """The weights of a file in `scheme` as floats (float32), by their names in a checkpoint.

    Raises `ValueError` if a matrix lacks its scales. A matrix in int4 whose width is odd gets a
    column too many, because the file does not say so.
    """
    full: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if tensor.ndim != 2:
            full[name] = tensor.float()
        elif not name.endswith(SCALE):
            rows, columns = tensor.shape
            width = columns if scheme_of(name, scheme) == "int8" else 2 * columns
            full[name] = read_matrix(name, stored, torch.Size((rows, width)), scheme).floats()
    return full


def scheme_named(name: str) -> Scheme:
    """The scheme of that name. Raises `ValueError` for an unknown one."""
    for scheme in SCHEMES:
        if scheme == name:
            return scheme
    raise ValueError(f"weights stored in {name} are unknown")


def _tensor(
    stored: Mapping[str, Tensor], name: str, dtype: torch.dtype, shape: tuple[int, int]
) -> Tensor:
    found = stored.get(name)
    if found is None or found.dtype != dtype or found.shape != shape:
        raise ValueError(f"{name} is not there as {dtype} of the shape {shape}")
    return found


def _paired(numbers: Tensor) -> Tensor:
    padded = F.pad(numbers, (0, numbers.shape[1] % 2)).view(torch.uint8)
    return padded[:, 0::2] & 15 | padded[:, 1::2] << 4


def _separate(pairs: Tensor) -> Tensor:
    signed = pairs.view(torch.int8)
    return torch.stack((signed << 4 >> 4, signed >> 4), -1).flatten(1)
