"""What a prompt file states about itself: the manifest, its JSON form and its validation."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field, StrictInt, StrictStr, TypeAdapter

from prompts import strict_json
from prompts.errors import CorruptPrompt, PromptWriteError, UnsupportedVersion
from prompts.form import FORMS, Form
from prompts.strict_json import JSON
from prompts.validation import (
    InvalidDataError,
    Label,
    LabelOrEmpty,
    Line,
    Sha256,
    text_rule,
    validate,
)

MAX_MANIFEST_BYTES = 1 << 20
"""Longest manifest JSON; it is ASCII, so its bytes are its characters."""
MAX_VIRTUAL_TOKENS = 4096
FORMAT_VERSION = 3
"""What is written: since this version `content_sha256` binds the numbers to the manifest."""
CONTENT_KEY = "content_sha256"
NO_DIGEST = "0" * 64
OPTIONAL = ("task", "globs", "context", "audit")
"""Fields that a file may omit, because a reader that does not know them may ignore them."""

Commit = Annotated[
    StrictStr, text_rule(re.compile(r"[0-9a-f]{7,64}").fullmatch, "7 to 64 lower-case hex digits")
]
# `Any`, because pydantic need not look at values that strict JSON has parsed.
JsonObject = dict[str, Any]


def _claims(name: str) -> AfterValidator:
    """The rule of an object in which `name`, if it is there, is true or false."""

    def check(value: JsonObject) -> JsonObject:
        if not isinstance(value.get(name, False), bool):
            raise ValueError(f"must state {name} as true or false")
        return value

    return AfterValidator(check)


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """The frozen model that a prompt belongs to.

    The fingerprints (sha256, 64 lower-case hex digits) decide whether a prompt fits; `name` is for
    people. `layout_fingerprint` identifies how context and FIM tokens are arranged in the input
    (`layout_with`). The bounds are well above any published model; they keep the arithmetic on a
    hostile file small.
    """

    name: Line
    model_fingerprint: Sha256
    tokenizer_fingerprint: Sha256
    layout_fingerprint: Sha256
    num_layers: Annotated[StrictInt, Field(ge=1, le=1024)]
    num_key_value_heads: Annotated[StrictInt, Field(ge=1, le=1024)]
    head_dim: Annotated[StrictInt, Field(ge=1, le=4096)]
    hidden_size: Annotated[StrictInt, Field(ge=1, le=131_072)]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything in a prompt file but the tensor.

    Construction does not validate; `from_json` and `prompts.file.write_prompt` do. Reason for its
    size: each attribute is a key of the file format.
    """

    name: Label
    form: Form
    num_virtual_tokens: Annotated[StrictInt, Field(ge=1, le=MAX_VIRTUAL_TOKENS)]
    """Rows of the tensor."""
    model: ModelIdentity
    languages: Annotated[tuple[Line, ...], Field(max_length=256, fail_fast=True)] = ()
    """LSP language identifiers that the prompt was tuned on."""
    repository: LabelOrEmpty = ""
    """Folder name of the repository, never a path; empty when unknown."""
    commit: Commit | None = None
    recipe: JsonObject = field(default_factory=dict)
    measured: Annotated[JsonObject, _claims("proven")] = field(default_factory=dict)
    """Held-out scores; `proven` is true when the gain interval excludes zero."""
    licence: Line | None = None
    """SPDX expression."""
    lineage: Annotated[tuple[Sha256, ...], Field(max_length=1024, fail_fast=True)] = ()
    """sha256 of the prompt files that this one was tuned from, oldest first."""
    attune_version: Line
    task: Line | None = None
    """What the prompt was tuned for, if not completion in general."""
    globs: Annotated[tuple[Line, ...], Field(max_length=256, fail_fast=True)] = ()
    """Paths that it serves (`prompts.globs`), from the repository's root; () is all."""
    context: JsonObject = field(default_factory=dict)
    """All parameters of the context that the prompt was tuned with; empty for the defaults."""
    audit: Annotated[JsonObject, _claims("passed")] = field(default_factory=dict)
    """The result of `attune prompt audit`; empty before."""

    @property
    def proven(self) -> bool:
        """Whether the file claims a held-out gain; a prompt without the claim is not proven."""
        return self.measured.get("proven") is True

    @property
    def gain(self) -> float | None:
        """The held-out gain that the file claims, as a share; None without a claim."""
        gain = self.measured.get("gain")
        return gain if isinstance(gain, (int, float)) and not isinstance(gain, bool) else None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the tensor: (p, 2*L*G*D) in the kv forms, (p, hidden_size) in the other."""
        model = self.model
        if self.form == "embedding":
            return self.num_virtual_tokens, model.hidden_size
        width = 2 * model.num_layers * model.num_key_value_heads * model.head_dim
        return self.num_virtual_tokens, width

    def to_json(self, content_sha256: str = NO_DIGEST) -> str:
        """Return the canonical JSON: sorted keys, no spaces, ASCII; equal manifests, equal text.

        `content_sha256` is what `prompts.file` computes of the text without it and of the numbers.
        Empty optional fields are omitted. Raises `PromptWriteError` for values that JSON cannot
        hold.
        """
        fields = dataclasses.asdict(self) | {
            "format_version": FORMAT_VERSION,
            CONTENT_KEY: content_sha256,
        }
        for key in OPTIONAL:
            if fields[key] in (None, (), {}):
                del fields[key]
        try:
            return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise PromptWriteError(
                f"The manifest of prompt {self.name!r} holds a value that JSON cannot express;"
                " keep its objects to finite numbers, text, lists and string-keyed dicts."
            ) from None

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read and validate a manifest; unknown keys are ignored, since the version decides.

        Raises `UnsupportedVersion` for another format version and `CorruptPrompt`, with the
        reason, for anything else that breaks docs/prompt-file-format.md.
        """
        if len(text) > MAX_MANIFEST_BYTES or not text.isascii():
            raise _corrupt(f"manifest must be ASCII JSON of at most {MAX_MANIFEST_BYTES} bytes")
        try:
            fields = strict_json.parse(text)
        except ValueError as error:
            raise _corrupt(f"manifest holds {error}") from None
        if not isinstance(fields, dict):
            raise _corrupt("manifest must be a JSON object")
        try:
            version = _version_of(fields)
            if version not in FORMS:
                raise UnsupportedVersion(
                    f"This prompt has format version {version}, but this Attune reads versions up"
                    f" to {max(FORMS)}; update Attune or tune the prompt again."
                )
            manifest = validate(_MANIFEST, _complete(fields))
            _content_sha256_of(fields)
            if manifest.form not in FORMS[version]:
                forms = " or ".join(f'"{form}"' for form in FORMS[version])
                raise InvalidDataError("form", f"must be {forms} in version {version}")
        except InvalidDataError as error:
            raise _corrupt(f"manifest field {error}") from None
        return manifest


@dataclass(frozen=True)
class FileFields:
    """What a manifest's JSON states about the file itself.

    `content_sha256` is None in a file of a version before 3, whose numbers nothing binds.
    """

    format_version: int
    content_sha256: str | None

    @classmethod
    def from_json(cls, text: str) -> "FileFields":
        """Of a text that `Manifest.from_json` has accepted."""
        fields = strict_json.parse(text)
        return cls(_version_of(fields), _content_sha256_of(fields))


def _version_of(fields: JSON) -> int:
    return validate(_VERSIONED, fields).format_version


def _content_sha256_of(fields: JSON) -> str | None:
    """The digest, which a file of an older version may lack. Raises `InvalidDataError`."""
    if _version_of(fields) < FORMAT_VERSION and CONTENT_KEY not in cast(dict[str, JSON], fields):
        return None
    return validate(_BOUND, fields).content_sha256


@dataclass(frozen=True)
class _Bound:
    content_sha256: Sha256


@dataclass(frozen=True)
class _Versioned:
    format_version: Annotated[StrictInt, Field(ge=1, le=1_000_000)]


_MANIFEST, _VERSIONED = TypeAdapter(Manifest), TypeAdapter(_Versioned)
_BOUND = TypeAdapter(_Bound)
_REQUIRED = tuple(
    field.name for field in dataclasses.fields(Manifest) if field.name not in OPTIONAL
)


def _complete(fields: dict[str, JSON]) -> dict[str, JSON]:
    """The fields without optional ones that are null, which means the same as absent.

    Raises `InvalidDataError` if a required key is missing, also one that has a default in Python.
    """
    for key in _REQUIRED:
        if key not in fields:
            raise InvalidDataError(key, "is missing")
    return {key: item for key, item in fields.items() if item is not None or key not in OPTIONAL}


def layout_with(layout_fingerprint: str, context: Mapping[str, JSON]) -> str:
    """The layout fingerprint of a prompt that was tuned with these parameters of the context.

    It binds them: a file that lost or changed them, or a reader without them, does not fit.
    """
    if not context:
        return layout_fingerprint
    text = json.dumps([layout_fingerprint, context], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _corrupt(reason: str) -> CorruptPrompt:
    return CorruptPrompt(f"The prompt's {reason}; fetch the file again or tune the prompt again.")
