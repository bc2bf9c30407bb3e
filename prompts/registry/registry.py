"""The layout of a registry, and how prompts are pushed and pulled.

    objects/SHA256.attune.safetensors     a prompt file, under the digest of its bytes
    versions/NAME/00000001.json           what version 1 of NAME is: an `Entry`

Files are added and never changed or removed, so a reader never sees a part of one. Versions are
numbered without gaps by exclusive creation: of two concurrent pushes, one gets the number and the
other the next. So neither a lock nor a shared index is needed, and where nothing can be listed, the
newest version is found by probing numbers.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prompts.errors import PromptError, RegistryError
from prompts.file import SUFFIX, parse_prompt
from prompts.manifest import ModelIdentity
from prompts.registry.entry import MAX_ENTRY_BYTES, Entry
from prompts.registry.files import RegistryFiles, open_files

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A name in a registry; it is part of paths and addresses."""
MAX_VERSION = 99_999_999
MAX_ATTEMPTS = 1000

_ENTRY_NAME = re.compile(r"([0-9]{8})\.json")


@dataclass(frozen=True)
class Pulled:
    """A version with the verified bytes of its file."""

    version: int
    entry: Entry
    data: bytes

    @property
    def signature(self) -> bytes | None:
        """The signature of the bytes, not verified yet."""
        return None if self.entry.signature is None else self.entry.signature.encode("utf-8")


def open_registry(url: str, root: Path) -> "Registry":
    """The registry at `url`; a path is relative to `root`. Raises `RegistryError`."""
    return Registry(open_files(url, root), url)


class Registry:
    """Named prompts, each in versions 1, 2, 3 …; every method raises `RegistryError`."""

    def __init__(self, files: RegistryFiles, label: str) -> None:
        self._files = files
        self._label = label

    def push(self, name: str, data: bytes, signature: bytes | None) -> int:
        """Add a file as the newest version of `name` and return its number.

        If it equals the newest version, that one's number is returned. Raises as `parse_prompt`
        does for bytes that are not a prompt.
        """
        _check_name(name)
        prompt = parse_prompt(data, "The prompt to push")
        entry = Entry.of(prompt, len(data), signature)
        newest = self.newest(name)
        if newest and self._entry(name, newest) == entry:
            return newest
        for version in range(newest + 1, newest + 1 + MAX_ATTEMPTS):
            files = {_object(entry.sha256): data, _entry(name, version): entry.to_json()}
            # If an answer was lost and the write was repeated, the existing entry is our own.
            if self._files.create(files) or self._entry(name, version) == entry:
                return version
        raise RegistryError(
            f"{self._label} had no free version of {name} in {MAX_ATTEMPTS} attempts; try again."
        )

    def newest(self, name: str) -> int:
        """The number of the newest version, 0 without any."""
        _check_name(name)
        listed = self._files.names(f"versions/{name}")
        if listed is not None:
            return max((int(n[1]) for n in map(_ENTRY_NAME.fullmatch, listed) if n), default=0)
        # The numbers have no gaps: double until one is absent, then bisect.
        low, high = 0, 1
        while high <= MAX_VERSION and self._exists(name, high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._exists(name, middle) else (low, middle)
        return low

    def versions(self, name: str) -> Iterator[tuple[int, Entry]]:
        """All readable versions, the newest first."""
        for version in range(self.newest(name), 0, -1):
            try:
                entry = self._entry(name, version)
            except RegistryError:
                continue  # a damaged entry must not hide the others
            if entry is not None:
                yield version, entry

    def names(self) -> list[str]:
        """The names of all prompts. Raises `RegistryError` where nothing can be listed."""
        listed = self._files.names("versions")
        if listed is None:
            raise RegistryError(f"{self._label} cannot be listed; name the prompt.")
        return sorted(name for name in listed if NAME.fullmatch(name))

    def pull(self, name: str, model: ModelIdentity) -> Pulled:
        """The newest version of `name` for this model, its file fully verified."""
        for version, entry in self.versions(name):
            if entry.fits(model):
                return Pulled(version, entry, self._file(entry))
        raise RegistryError(
            f"{self._label} has no version of {name} for model {model.name!r}"
            f" ({model.model_fingerprint[:8]}); tune one, or start Attune with another model."
        )

    def _file(self, entry: Entry) -> bytes:
        name = _object(entry.sha256)
        data = self._files.read(name, entry.n_bytes)
        if data is None or hashlib.sha256(data).hexdigest() != entry.sha256:
            what = "is missing from" if data is None else "was changed in"
            raise RegistryError(
                f"The file sha256:{entry.sha256} {what} {self._label};"
                " ask whoever keeps the registry."
            )
        parse_prompt(data, f"{self._label}/{name}")
        return data

    def _exists(self, name: str, version: int) -> bool:
        return self._files.read(_entry(name, version), MAX_ENTRY_BYTES) is not None

    def _entry(self, name: str, version: int) -> Entry | None:
        path = _entry(name, version)
        data = self._files.read(path, MAX_ENTRY_BYTES)
        return None if data is None else Entry.from_json(data, f"{self._label}/{path}")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise PromptError(
            f"{name!r} cannot be a name in a registry; give one of at most 64 letters, digits,"
            " dots, dashes and underscores with --name."
        )


def _object(sha256: str) -> str:
    return f"objects/{sha256}{SUFFIX}"


def _entry(name: str, version: int) -> str:
    return f"versions/{name}/{version:08d}.json"
