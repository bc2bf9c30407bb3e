"""One version in a registry: which file it is, for which model, what it gained, who signed it."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter

from prompts import strict_json
from prompts.errors import RegistryError
from prompts.file import MAX_FILE_BYTES, PromptFile
from prompts.manifest import ModelIdentity
from prompts.signature import MAX_SIGNATURE_BYTES
from prompts.validation import InvalidDataError, Line, Sha256, validate

ENTRY_FORMAT = 1
MAX_ENTRY_BYTES = 256 << 10


@dataclass(frozen=True)
class Entry:
    """A version as the registry states it.

    What it states about the prompt is for choosing only; the manifest of the file itself decides.
    """

    sha256: Sha256
    n_bytes: Annotated[StrictInt, Field(ge=1, le=MAX_FILE_BYTES)]
    model_name: Line
    fingerprints: tuple[Sha256, Sha256, Sha256]
    """Of model, tokenizer and layout."""
    gain: StrictFloat | None
    proven: StrictBool
    audited: StrictBool
    lineage: Annotated[tuple[Sha256, ...], Field(max_length=1024, fail_fast=True)]
    signature: Annotated[StrictStr, Field(max_length=MAX_SIGNATURE_BYTES)] | None

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
        """Read and validate an entry; unknown keys are ignored. Raises `RegistryError`."""
        try:
            fields = strict_json.parse(data.decode("ascii"))
            if not isinstance(fields, dict) or fields.get("format") != ENTRY_FORMAT:
                raise ValueError(f"no entry of format {ENTRY_FORMAT}")
            return validate(_ENTRY, fields)
        except ValueError as error:
            what = f"an entry whose {error}" if isinstance(error, InvalidDataError) else error
            raise RegistryError(f"{source} holds {what}; ask whoever keeps the registry.") from None


_ENTRY = TypeAdapter(Entry)


def _fingerprints(model: ModelIdentity) -> tuple[str, str, str]:
    return model.model_fingerprint, model.tokenizer_fingerprint, model.layout_fingerprint
