"""What a prompt file says about itself: the manifest, its JSON form and its validation."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from prompts import strict_json
from prompts.errors import CorruptPrompt, PromptWriteError, UnsupportedVersion
from prompts.strict_json import JSON

MAX_MANIFEST_BYTES = 1 << 20
"""Longest manifest JSON; it is ASCII, so its bytes are its characters."""
MAX_VIRTUAL_TOKENS = 4096
OPTIONAL = ("task", "globs", "show_threshold", "context", "audit")
"""Fields that a file may leave out, because a reader without them may safely ignore them."""

Form = Literal["kv-nope", "kv", "embedding"]
FORMS: Mapping[int, tuple[Form, ...]] = {1: ("kv", "embedding"), 2: ("kv-nope",)}
"""The forms of each format version: a reader of version 1 must not take one form for another."""


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """The frozen model that a prompt belongs to.

    The fingerprints (sha256, 64 lower-case hex digits) decide whether a prompt fits; `name` is for
    people. `layout_fingerprint` stands for how context and FIM tokens are laid out in the input
    (`layout_with`).
    """

    name: str
    model_fingerprint: str
    tokenizer_fingerprint: str
    layout_fingerprint: str
    num_layers: int
    num_key_value_heads: int
    head_dim: int
    hidden_size: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a prompt file says about itself, without the tensor.

    Construction does not validate; `from_json` and `prompts.file.write_prompt` do.
    """

    name: str
    form: Form
    num_virtual_tokens: int
    """Rows of the tensor, 1 to 4096."""
    model: ModelIdentity
    languages: tuple[str, ...] = ()
    """LSP language identifiers that the prompt was tuned on."""
    repository: str = ""
    """Folder name of the repository, never a path; empty when unknown."""
    commit: str | None = None
    created: str | None = None
    """ISO 8601 time; None unless asked for, so that the same tuning gives the same bytes."""
    recipe: dict[str, JSON] = field(default_factory=dict)
    measured: dict[str, JSON] = field(default_factory=dict)
    """Held-out scores; `proven` is true when the gain interval excludes zero."""
    licence: str | None = None
    """SPDX expression."""
    lineage: tuple[str, ...] = ()
    """sha256 of the prompt files that this one was tuned from, oldest first."""
    attune_version: str
    task: str | None = None
    """What the prompt was tuned for, if not completion in general."""
    globs: tuple[str, ...] = ()
    """Paths that it serves, in gitignore's pattern language from the repository's root; () is all.
    """
    show_threshold: float | None = None
    """Lowest log-probability (nats) at which a completion made with this prompt is shown."""
    context: dict[str, JSON] = field(default_factory=dict)
    """All parameters of the context that the prompt was tuned with; empty for the defaults."""
    audit: dict[str, JSON] = field(default_factory=dict)
    """What `attune prompt audit` found; empty before."""

    @property
    def format_version(self) -> int:
        """The first version that knows the form, so that older readers read what they can."""
        return next(version for version, forms in FORMS.items() if self.form in forms)

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

    def to_json(self) -> str:
        """Return the canonical JSON: sorted keys, no spaces, ASCII; equal manifests, equal text.

        Optional fields that say nothing are left out. Raises `PromptWriteError` for values that
        JSON cannot hold.
        """
        described = dataclasses.asdict(self) | {"format_version": self.format_version}
        for key in OPTIONAL:
            if described[key] in (None, (), {}):
                del described[key]
        try:
            return json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False)
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
            fields = _Fields(strict_json.parse(text), "")
        except ValueError as error:
            raise _corrupt(f"manifest holds {error}") from None
        version = fields.whole_number("format_version", 1, 1_000_000)
        if version not in FORMS:
            raise UnsupportedVersion(
                f"This prompt has format version {version}, but this Attune reads versions up to"
                f" {max(FORMS)}; update Attune or tune the prompt again."
            )
        forms = FORMS[version]
        form = _Rule(forms.__contains__, " or ".join(f'"{one}"' for one in forms))
        return cls(
            name=fields.text("name", _LABEL),
            form=cast(Form, fields.text("form", form)),
            num_virtual_tokens=fields.whole_number("num_virtual_tokens", 1, MAX_VIRTUAL_TOKENS),
            model=_model_identity(_Fields(fields.object("model"), "model.")),
            languages=fields.texts("languages", _LINE, limit=256),
            repository=fields.text("repository", _LABEL_OR_EMPTY),
            commit=fields.optional_text("commit", _COMMIT),
            created=fields.optional_text("created", _TIME),
            recipe=fields.object("recipe"),
            measured=_with_claim(fields, "measured", "proven"),
            licence=fields.optional_text("licence", _LINE),
            lineage=fields.texts("lineage", _SHA256, limit=1024),
            attune_version=fields.text("attune_version", _LINE),
            **_optional(fields),
        )


def layout_with(layout_fingerprint: str, context: Mapping[str, JSON]) -> str:
    """The layout fingerprint of a prompt that was tuned with these parameters of the context.

    It binds them: a file that lost or changed them, or a reader without them, does not fit.
    """
    if not context:
        return layout_fingerprint
    told = json.dumps([layout_fingerprint, context], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(told.encode("ascii")).hexdigest()


def _corrupt(reason: str) -> CorruptPrompt:
    return CorruptPrompt(f"The prompt's {reason}; fetch the file again or tune the prompt again.")


def _is_line(text: str) -> bool:
    # isprintable refuses control, line-break and direction-changing characters alike.
    return 0 < len(text) <= 256 and text.isprintable() and text == text.strip()


def is_label(text: str) -> bool:
    """Whether `text` is a label of the format: one line that cannot spell a path."""
    # Names end up in paths, so a hostile file must not be able to spell one.
    return _is_line(text) and not set(text) & set("/\\") and text not in (".", "..")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Rule:
    """What a text field must be: the test, and the same in words."""

    accepts: Callable[[str], object]
    words: str


_LINE = _Rule(_is_line, "1 to 256 printable characters")
_LABEL = _Rule(is_label, "1 to 256 printable characters without / or \\")
_LABEL_OR_EMPTY = _Rule(lambda text: not text or is_label(text), f"empty or {_LABEL.words}")
_SHA256 = _Rule(re.compile(r"[0-9a-f]{64}").fullmatch, "64 lower-case hex digits")
_COMMIT = _Rule(re.compile(r"[0-9a-f]{7,64}").fullmatch, "7 to 64 lower-case hex digits")
_TIME = _Rule(_is_time, "an ISO 8601 time")


class _Fields:
    """The keys of one JSON object, each taken with its rule; a breach raises `CorruptPrompt`."""

    def __init__(self, value: JSON, where: str) -> None:
        if not isinstance(value, dict):
            raise _corrupt(f"manifest {where.rstrip('.') or 'JSON'} must be a JSON object")
        self._fields = value
        self._where = where

    def says_nothing(self, key: str) -> bool:
        return self._fields.get(key) is None

    def _take(self, key: str) -> JSON:
        if key not in self._fields:
            raise _corrupt(f"manifest lacks {self._where}{key}")
        return self._fields[key]

    def _breach(self, key: str, words: str) -> CorruptPrompt:
        return _corrupt(f"manifest field {self._where}{key} must be {words}")

    def text(self, key: str, rule: _Rule) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not rule.accepts(value):
            raise self._breach(key, rule.words)
        return value

    def optional_text(self, key: str, rule: _Rule) -> str | None:
        return None if self._take(key) is None else self.text(key, rule)

    def texts(self, key: str, rule: _Rule, limit: int) -> tuple[str, ...]:
        values = self._take(key)
        words = f"a list of at most {limit} texts, each {rule.words}"
        if not isinstance(values, list) or len(values) > limit:
            raise self._breach(key, words)
        texts = tuple(value for value in values if isinstance(value, str) and rule.accepts(value))
        if len(texts) != len(values):
            raise self._breach(key, words)
        return texts

    def whole_number(self, key: str, low: int, high: int) -> int:
        value = self._take(key)
        # bool is an int to Python, but true is not a number to JSON.
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._breach(key, f"a whole number from {low} to {high}")
        return value

    def finite_number(self, key: str) -> float:
        value = self._take(key)
        # Strict JSON has no other numbers than finite ones.
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self._breach(key, "a number")
        return value

    def object(self, key: str) -> dict[str, JSON]:
        value = self._take(key)
        if not isinstance(value, dict):
            raise self._breach(key, "a JSON object")
        return value


def _model_identity(fields: _Fields) -> ModelIdentity:
    # Bounds well above any published model; they keep a hostile file's arithmetic small.
    return ModelIdentity(
        name=fields.text("name", _LINE),
        model_fingerprint=fields.text("model_fingerprint", _SHA256),
        tokenizer_fingerprint=fields.text("tokenizer_fingerprint", _SHA256),
        layout_fingerprint=fields.text("layout_fingerprint", _SHA256),
        num_layers=fields.whole_number("num_layers", 1, 1024),
        num_key_value_heads=fields.whole_number("num_key_value_heads", 1, 1024),
        head_dim=fields.whole_number("head_dim", 1, 4096),
        hidden_size=fields.whole_number("hidden_size", 1, 131_072),
    )


def _optional(fields: _Fields) -> dict[str, Any]:
    """The fields of `OPTIONAL` that are there; `null` says the same as absence."""
    readers: dict[str, Callable[[str], object]] = {
        "task": lambda key: fields.text(key, _LINE),
        "globs": lambda key: fields.texts(key, _LINE, limit=256),
        "show_threshold": fields.finite_number,
        "context": fields.object,
        "audit": lambda key: _with_claim(fields, key, "passed"),
    }
    return {key: readers[key](key) for key in OPTIONAL if not fields.says_nothing(key)}


def _with_claim(fields: _Fields, key: str, claim: str) -> dict[str, JSON]:
    """An object in which `claim`, if it is there, is true or false."""
    found = fields.object(key)
    if not isinstance(found.get(claim, False), bool):
        raise _corrupt(f"manifest field {key}.{claim} must be true or false")
    return found
