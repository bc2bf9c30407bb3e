"""The GGUF file that a model folder was made from, as the folder's `attune.json` records it."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_model.language_model import ModelLoadError
from file_access.regular_file import open_regular_file, read_regular_file
from prompts.atomic_write import replace_file

KEY = "gguf"  # in attune.json
DEQUANTISED = "dequantised.json"
"""Beside attune.json, which is the same before and after."""


@dataclass(frozen=True)
class GgufSource:
    """A GGUF file with its size and SHA-256 (hex).

    A prompt is bound to `sha256`, also one that was tuned on the same weights dequantised, which
    the folder may hold too (`record_dequantised`). So it serves in front of the GGUF file.
    """

    path: Path
    size: int
    sha256: str

    @classmethod
    def of(cls, gguf: Path) -> "GgufSource":
        """Of a file on disk. Raises `ModelLoadError` if it cannot be read."""
        try:
            with open_regular_file(gguf, sys.maxsize) as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
                size = opened.tell()
        except OSError as error:
            raise ModelLoadError(
                f"{gguf} cannot be read ({error.strerror or error}); check the path."
            ) from error
        return cls(gguf, size, digest)

    @classmethod
    def from_json(cls, folder: Path, entry: Mapping[str, Any]) -> "GgufSource":
        """Of an entry of attune.json, whose path may be relative to `folder`.

        Raises `ModelLoadError`.
        """
        path, size, digest = entry.get("path"), entry.get("size"), entry.get("sha256")
        if not (isinstance(path, str) and isinstance(size, int) and isinstance(digest, str)):
            raise ModelLoadError(
                f"{folder / 'attune.json'} does not name a GGUF file with its size and SHA-256; "
                "add the model again."
            )
        return cls(folder / path, size, digest)

    def to_json(self) -> dict[str, Any]:
        """The entry of attune.json."""
        return {"path": str(self.path), "size": self.size, "sha256": self.sha256}

    def check(self, sha256: str | None = None) -> None:
        """Raise `ModelLoadError` unless the file is there, whole and unchanged.

        `sha256` is the file's if it is known already; else all of the file is read.
        """
        if not self.path.is_file():
            raise ModelLoadError(
                f"The GGUF file {self.path} is gone; add the model again from where it is now."
            )
        if (size := self.path.stat().st_size) < self.size:
            raise ModelLoadError(
                f"The GGUF file {self.path} is cut short ({size} of {self.size} bytes); get it "
                "again."
            )
        if (sha256 or GgufSource.of(self.path).sha256) != self.sha256:
            raise ModelLoadError(
                f"The GGUF file {self.path} is another one than was added (its SHA-256 differs); "
                "add the model again, and tune its prompts again."
            )


def record_dequantised(folder: Path, source: GgufSource, weights_sha256: str) -> None:
    """Record that a folder's weights, with this hash, are those of `source`."""
    content = {"gguf_sha256": source.sha256, "weights_sha256": weights_sha256}
    replace_file(folder / DEQUANTISED, (json.dumps(content, sort_keys=True) + "\n").encode())


def dequantised_sha256(folder: Path, source: GgufSource) -> str | None:
    """The recorded hash of weights that were made from `source`; None if there are none."""
    try:
        content = json.loads(read_regular_file(folder / DEQUANTISED, 1 << 16))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("gguf_sha256") != source.sha256:
        return None
    weights_sha256 = content.get("weights_sha256")
    return weights_sha256 if isinstance(weights_sha256, str) else None
