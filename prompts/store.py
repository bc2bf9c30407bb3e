"""The user's store: prompt files by the digest of their bytes, and who refers to them."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import StrictStr, TypeAdapter

from file_access.regular_file import read_regular_file
from prompts import strict_json
from prompts.atomic_write import replace_file
from prompts.configuration import DIGEST, FILE_NAME, FOLDER, read_configuration, stored_file
from prompts.errors import StoreError
from prompts.file import SUFFIX, PromptFile, install_prompt, parse_prompt
from prompts.signature import signature_path, write_signature
from prompts.user import store_folder, user_folder
from prompts.validation import validate

MIN_PREFIX = 6
"""Fewest hex digits that may abbreviate a digest."""

_DIGITS = re.compile(r"[0-9a-f]{1,64}")
_DAY_S = 86_400
_REFERRING_ROOTS = "workspaces.json"
_MAX_ROOTS_BYTES = 16 << 20
_ROOTS = TypeAdapter(list[StrictStr])


class Store:
    """Prompt files by digest. Adding the same file twice is adding it once."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or store_folder()

    def path(self, sha256: str) -> Path:
        """Where the file with this digest is or would be."""
        return stored_file(sha256, self.folder)

    def add(self, data: bytes, signature: bytes | None, source: str) -> PromptFile:
        """Keep the bytes of a prompt file, and its signature; errors name `source`.

        Raises `StoreError`, and as `prompts.file.install_prompt` does.
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
        matches = [digest for digest in self.digests() if digest.startswith(prefix)]
        if len(matches) != 1:
            what = "no prompt" if not matches else f"{len(matches)} prompts"
            raise StoreError(
                f"The store has {what} with a digest that begins with {prefix};"
                " `attune prompt list` shows all."
            )
        return matches[0]

    def remove(self, sha256: str) -> None:
        """Delete a file and its signature. Raises `StoreError`."""
        path = self.path(sha256)
        try:
            signature_path(path).unlink(missing_ok=True)
            path.unlink()
        except OSError as error:
            raise StoreError(f"{path} could not be removed ({error.strerror}).") from error

    def unused(self, used: set[str], older_than_days: float) -> list[str]:
        """The digests that are not in `used` and were stored longer ago than that."""
        before = time.time() - older_than_days * _DAY_S
        return [
            digest
            for digest in self.digests()
            if digest not in used and self.path(digest).stat().st_mtime < before
        ]


def add_referring_root(root: Path) -> None:
    """Record that a route of the repository at `root` leads to the store.

    Raises `StoreError`.
    """
    roots = {*_referring_roots(), str(root.resolve())}
    path = user_folder() / _REFERRING_ROOTS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(sorted(roots), indent=2).encode())
    except OSError as error:
        raise StoreError(f"{path} could not be written ({error.strerror}).") from error


def used_digests() -> set[str]:
    """Digests that a route leads to: of every recorded repository, and of the user's own routes.

    Raises `StoreError` or `ConfigurationError` for what cannot be read, since it might use any.
    """
    used = set()
    for folder in (*(Path(root) / FOLDER for root in _referring_roots()), user_folder()):
        for route in read_configuration(folder / FILE_NAME).routes:
            if digest := DIGEST.fullmatch(route.prompt):
                used.add(digest[1])
    return used


def _referring_roots() -> list[str]:
    path = user_folder() / _REFERRING_ROOTS
    try:
        data = read_regular_file(path, _MAX_ROOTS_BYTES)
        return validate(_ROOTS, strict_json.parse(data.decode("utf-8-sig")))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read; correct it or remove it.") from error
