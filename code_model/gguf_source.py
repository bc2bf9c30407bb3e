"""The GGUF file that a model folder was made from, as the folder's `attune.json` records it."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_model.language_model import ModelLoadError
from file_access.regular_file import open_regular_file

KEY = "gguf"  # in attune.json


@dataclass(frozen=True)
class GgufSource:
    """A GGUF file with its size and SHA-256 (hex), and the hash of what was made from it.

    `weights_sha256` is that of config.json and model.safetensors, once the folder holds the same
    weights dequantised (`code_model.model_folder.ModelFolder.model_fingerprint`). A prompt is bound
    to `sha256` in both cases, so one that was tuned on the dequantised weights serves in front of
    the GGUF file.
    """

    path: Path
    size: int
    sha256: str
    weights_sha256: str | None = None

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
        weights = entry.get("weights_sha256")
        if not (isinstance(path, str) and isinstance(size, int) and isinstance(digest, str)):
            raise ModelLoadError(
                f"{folder / 'attune.json'} does not name a GGUF file with its size and SHA-256; "
                "add the model again."
            )
        return cls(folder / path, size, digest, weights if isinstance(weights, str) else None)

    def to_json(self) -> dict[str, Any]:
        """The entry of attune.json."""
        entry = {"path": str(self.path), "size": self.size, "sha256": self.sha256}
        return entry | ({"weights_sha256": self.weights_sha256} if self.weights_sha256 else {})

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
