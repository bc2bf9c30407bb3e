"""One version in a registry: which file it is, for which model, what it gained, who signed it."""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from prompts import strict_json
from prompts.errors import RegistryError
from prompts.file import MAX_FILE_BYTES, PromptFile
from prompts.manifest import ModelIdentity
from prompts.signature import MAX_SIGNATURE_BYTES

ENTRY_FORMAT = 1
MAX_ENTRY_BYTES = 256 << 10

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FINGERPRINTS = ("model_fingerprint", "tokenizer_fingerprint", "layout_fingerprint")


@dataclass(frozen=True)
class Entry:
    """A version as the registry states it.

    What it says about the prompt is for choosing only; the manifest of the file itself decides.
    """

    sha256: str
    n_bytes: int
    model_name: str
    fingerprints: tuple[str, str, str]
    """Of model, tokenizer and layout."""
    gain: float | None
    proven: bool
    audited: bool
    lineage: tuple[str, ...]
    signature: str | None

    @classmethod
    def of(cls, prompt: PromptFile, n_bytes: int, signature: bytes | None) -> "Entry":
        """The entry of a prompt that was read from a file of `n_bytes`."""
        manifest = prompt.manifest
        return cls(
            sha256=prompt.sha256 or "",
            n_bytes=n_bytes,
            model_name=manifest.model.name,
            fingerprints=_fingerprints(manifest.model),
            gain=manifest.gain,
            proven=manifest.proven,
            audited=prompt.audited,
            lineage=manifest.lineage,
            signature=None if signature is None else signature.decode("ascii"),
        )

    def fits(self, model: ModelIdentity) -> bool:
        """Whether the prompt is for this model, tokenizer and layout."""
        return self.fingerprints == _fingerprints(model)

    def to_json(self) -> bytes:
        """Canonical JSON."""
        fields = {"format": ENTRY_FORMAT} | asdict(self)
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes, source: str) -> "Entry":
        """Read and check an entry; unknown keys are ignored. Raises `RegistryError`."""
        try:
            read = strict_json.parse(data.decode("ascii"))
            if not isinstance(read, dict) or read.get("format") != ENTRY_FORMAT:
                raise ValueError(f"no entry of format {ENTRY_FORMAT}")
            return cls(**{name: _checked(name, read) for name in cls.__dataclass_fields__})
        except ValueError as error:
            raise RegistryError(
                f"{source} holds {error}; ask whoever keeps the registry."
            ) from None


def _fingerprints(model: ModelIdentity) -> tuple[str, str, str]:
    return model.model_fingerprint, model.tokenizer_fingerprint, model.layout_fingerprint


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _are_sha256(value: Any, low: int, high: int) -> bool:
    return isinstance(value, list) and low <= len(value) <= high and all(map(_is_sha256, value))


def _checked(name: str, read: dict[str, Any]) -> Any:
    value = read.get(name)
    match name:
        case "sha256":
            good = _is_sha256(value)
        case "n_bytes":
            good = type(value) is int and 0 < value <= MAX_FILE_BYTES
        case "model_name":
            good = isinstance(value, str) and value.isprintable() and len(value) <= 256
        case "fingerprints":
            good = _are_sha256(value, 3, 3)
        case "lineage":
            good = _are_sha256(value, 0, 1024)
        case "gain":
            good = value is None or (isinstance(value, int | float) and type(value) is not bool)
        case "signature":
            good = value is None or (isinstance(value, str) and len(value) <= MAX_SIGNATURE_BYTES)
        case _:
            good = isinstance(value, bool)
    if not good:
        raise ValueError(f"a wrong {name}")
    return tuple(value) if isinstance(value, list) else value
