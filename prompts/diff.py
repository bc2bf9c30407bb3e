"""In what two prompts differ."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from prompts.file import PromptFile
from prompts.strict_json import JSON


@dataclass(frozen=True)
class TensorDifference:
    """Of two tensors of one shape.

    `relative` is the norm of the difference over the norm of the first; `rows` counts virtual
    tokens that differ at all.
    """

    rows: int
    relative: float
    largest: float


@dataclass(frozen=True)
class Comparison:
    """`fields` maps a manifest field, dotted, to both values; `tensor` is None for other shapes."""

    fields: dict[str, tuple[JSON, JSON]]
    tensor: TensorDifference | None

    @property
    def any(self) -> bool:
        """Whether there is a difference."""
        return bool(self.fields) or self.tensor is None or self.tensor.rows > 0

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {
            "fields": {key: list(values) for key, values in self.fields.items()},
            "tensor": None if self.tensor is None else dataclasses.asdict(self.tensor),
        }


def compare(one: PromptFile, other: PromptFile) -> Comparison:
    """Compare what two prompts say and their numbers."""
    left, right = (_flat(dataclasses.asdict(prompt.manifest)) for prompt in (one, other))
    fields = {
        key: (left.get(key), right.get(key))
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    }
    if one.embeddings.shape != other.embeddings.shape:
        return Comparison(fields, None)
    difference = other.embeddings.astype(np.float64) - one.embeddings
    norm = float(np.linalg.norm(one.embeddings.astype(np.float64)))
    relative = float(np.linalg.norm(difference)) / norm if norm else 0.0
    rows = int(difference.any(axis=1).sum())
    return Comparison(fields, TensorDifference(rows, relative, float(np.abs(difference).max())))


def _flat(value: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            flat |= _flat(item, f"{before}{key}.")
        else:
            flat[before + key] = list(item) if isinstance(item, tuple) else item
    return flat
