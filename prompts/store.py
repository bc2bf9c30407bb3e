"""The user's store of prompt files, each under the digest of its bytes."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from prompts.errors import StoreError
from prompts.file import SUFFIX, PromptFile, install_prompt, parse_prompt
from prompts.routing import stored_file
from prompts.signature import signature_path, write_signature
from prompts.user import store_folder

MIN_PREFIX = 6
"""Hex digits of a digest that may stand for the whole."""

_DIGITS = re.compile(r"[0-9a-f]{1,64}")
_DAY_S = 86_400


class Store:
    """Prompt files by digest. Adding the same file twice is adding it once."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or store_folder()

    def path(self, sha256: str) -> Path:
        """Where the file with this digest is or would be."""
        return stored_file(sha256, self.folder)

    def add(self, data: bytes, signature: bytes | None, source: str) -> PromptFile:
        """Keep the bytes of a prompt file, and its signature; errors name `source`.

        Raises as `prompts.file.install_prompt`.
        """
        prompt = parse_prompt(data, source)
        path = self.path(prompt.sha256 or "")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{path.parent} cannot be made ({error.strerror}); check its permissions."
            ) from error
        install_prompt(data, path, source)
        if signature is not None:
            write_signature(path, signature)
        return prompt

    def digests(self) -> Iterator[str]:
        """The digests of all files, in order."""
        for path in sorted(self.folder.glob(f"??/*{SUFFIX}")):
            digest = path.parent.name + path.name.removesuffix(SUFFIX)
            if _DIGITS.fullmatch(digest) and len(digest) == 64:
                yield digest

    def find(self, prefix: str) -> str:
        """The digest that begins with `prefix`. Raises `StoreError` unless there is exactly one."""
        if len(prefix) < MIN_PREFIX or not _DIGITS.fullmatch(prefix):
            raise StoreError(f"{prefix!r} is not the beginning of a digest: give {MIN_PREFIX} or"
                             " more hex digits, as `attune prompt list` shows them.")  # fmt: skip
        found = [digest for digest in self.digests() if digest.startswith(prefix)]
        if len(found) != 1:
            what = "no prompt" if not found else f"{len(found)} prompts"
            raise StoreError(
                f"The store has {what} with a digest that begins with {prefix};"
                " `attune prompt list` shows all."
            )
        return found[0]

    def remove(self, sha256: str) -> None:
        """Delete a file and its signature. Raises `StoreError`."""
        path = self.path(sha256)
        try:
            signature_path(path).unlink(missing_ok=True)
            path.unlink()
        except OSError as error:
            raise StoreError(f"{path} could not be removed ({error.strerror}).") from error

    def unused(self, used: set[str], older_than_days: float) -> list[str]:
        """Digests that are not in `used` and were stored longer ago than that."""
        before = time.time() - older_than_days * _DAY_S
        return [
            digest
            for digest in self.digests()
            if digest not in used and self.path(digest).stat().st_mtime < before
        ]
