"""The differences between two prompts."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from prompts.file import PromptFile
from prompts.strict_json import JSON


@dataclass(frozen=True)
class TensorDiff:
    """The difference of two tensors of the same shape."""

    changed_tokens: int
    """Virtual tokens that differ in any number."""
    relative: float
    """The norm of the difference over the norm of the first tensor."""
    largest: float
    """The largest absolute difference of two numbers."""


@dataclass(frozen=True)
class PromptDiff:
    """`fields` maps a manifest field, dotted, to both values; `tensor` is None for other shapes."""

    fields: dict[str, tuple[JSON, JSON]]
    tensor: TensorDiff | None

    @property
    def is_empty(self) -> bool:
        """Whether the prompts are equal."""
        return not self.fields and self.tensor is not None and self.tensor.changed_tokens == 0

    def to_dict(self) -> dict[str, Any]:
        """The differences as JSON values."""
        return {
            "fields": {key: list(values) for key, values in self.fields.items()},
            "tensor": None if self.tensor is None else dataclasses.asdict(self.tensor),
        }


def diff_prompts(first: PromptFile, second: PromptFile) -> PromptDiff:
    """Compare the manifests and the tensors of two prompts."""
    left, right = (_flat(dataclasses.asdict(prompt.manifest)) for prompt in (first, second))
    fields = {
        key: (left.get(key), right.get(key))
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    }
    if first.embeddings.shape != second.embeddings.shape:
        return PromptDiff(fields, None)
    difference = second.embeddings.astype(np.float64) - first.embeddings
    norm = float(np.linalg.norm(first.embeddings.astype(np.float64)))
    relative = float(np.linalg.norm(difference)) / norm if norm else 0.0
    changed_tokens = int(difference.any(axis=1).sum())
    return PromptDiff(fields, TensorDiff(changed_tokens, relative, float(np.abs(difference).max())))


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in fields.items():
        if isinstance(item, dict) and item:
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(item) if isinstance(item, tuple) else item
    return flat
