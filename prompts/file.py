"""Read, verify and write `NAME.attune.safetensors`; docs/prompt-file-format.md is the contract."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import ConfigDict, StrictInt, TypeAdapter

from file_access.regular_file import open_regular_file
from prompts import strict_json
from prompts.atomic_write import replace_file
from prompts.errors import (
    CorruptPrompt,
    IncompatiblePrompt,
    NotAPromptFile,
    PromptError,
    PromptWriteError,
)
from prompts.manifest import (
    FORMAT_VERSION,
    NO_DIGEST,
    FileFields,
    Manifest,
    ModelIdentity,
    layout_with,
)
from prompts.strict_json import JSON
from prompts.validation import InvalidDataError, validate

SUFFIX = ".attune.safetensors"
DEFAULT_PROMPT = f".attune/prompt{SUFFIX}"
"""Where a repository keeps its prompt, relative to its root."""

TENSOR_NAME = "prompt_embeddings"
METADATA_KEY = "attune"
MAX_FILE_BYTES = 2 << 30
MAX_HEADER_BYTES = 8 << 20
"""Room for a manifest of the full 1 MiB in any escaping that JSON allows (6 bytes a character)."""

_LENGTH_BYTES = 8
_DType = Literal["F32", "F16", "BF16"]
_BYTES_PER_NUMBER: dict[_DType, int] = {"F32": 4, "F16": 2, "BF16": 2}
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, eq=False)
class PromptFile:
    """A soft prompt with its manifest.

    `embeddings` is float32 of shape `manifest.shape`. A kv row is [layer 0 K of all kv heads,
    layer 0 V, layer 1 K, ...], so `embeddings.reshape(p, L, 2, G, D)` separates it; keys are
    after RoPE at positions 0..p-1. An embedding row is one virtual token.
    """

    manifest: Manifest
    embeddings: NDArray[np.float32]
    sha256: str | None = None
    """Of the file that the prompt was read from; None for a prompt that was not read."""
    format_version: int = FORMAT_VERSION
    """Of that file. Before version 3 nothing binds the numbers to the manifest and its proof."""

    @property
    def tensor_sha256(self) -> str:
        """Of the numbers as little-endian float32, whatever dtype the file stores."""
        numbers = np.ascontiguousarray(self.embeddings, dtype="<f4")
        return hashlib.sha256(numbers.tobytes()).hexdigest()

    @property
    def audited(self) -> bool:
        """Whether the manifest claims that exactly these numbers passed an audit."""
        audit = self.manifest.audit
        return audit.get("passed") is True and audit.get("tensor_sha256") == self.tensor_sha256


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of the file at `path`.

    Reads and verifies the header only, not the tensor's values. Raises `NotAPromptFile`,
    `UnsupportedVersion` or `CorruptPrompt`.
    """
    with _opened(path) as stream:
        return _read_header(stream, _size(stream)).manifest


def read_prompt(path: Path, model: ModelIdentity | None = None) -> PromptFile:
    """Return the prompt at `path`, fully verified; the header is verified before any allocation.

    With `model`, the prompt must also fit that model. Raises `NotAPromptFile`,
    `UnsupportedVersion`, `CorruptPrompt` or `IncompatiblePrompt`.
    """
    with _opened(path) as stream:
        return _read(stream, _size(stream), model)


def check_compatible(manifest: Manifest, identity: ModelIdentity) -> None:
    """Check that the prompt fits the model `identity`, by fingerprints and sizes, not by name.

    Raises `IncompatiblePrompt`, naming what differs and what to do.
    """
    tuned = manifest.model
    differences = [
        word
        for word, equal in (
            ("model", tuned.model_fingerprint == identity.model_fingerprint),
            ("tokenizer", tuned.tokenizer_fingerprint == identity.tokenizer_fingerprint),
            (
                "layout",
                tuned.layout_fingerprint
                == layout_with(identity.layout_fingerprint, manifest.context),
            ),
            ("shape", _sizes(tuned) == _sizes(identity)),
        )
        if not equal
    ]
    if not differences:
        return
    if differences == ["layout"]:
        advice = f"it was tuned with Attune {manifest.attune_version}, so tune it again"
    else:
        advice = f"start Attune with model {_label(tuned)} or tune again with this model"
    raise IncompatiblePrompt(
        f"Prompt {manifest.name!r} does not fit model {_label(identity)}:"
        f" different {' and '.join(differences)}; {advice}."
    )


def write_prompt(path: Path, prompt: PromptFile) -> str:
    """Write `prompt` (float32) to `path` in one step and return the sha256 of the file.

    Equal prompts give equal bytes. Raises `PromptWriteError` for a prompt that could not be read
    back or a path that cannot be written; what was at `path` before is then unchanged.
    """
    data = encode_prompt(prompt)
    _replace(path, data)
    return hashlib.sha256(data).hexdigest()


def encode_prompt(prompt: PromptFile) -> bytes:
    """Return the bytes of the file, after every check that reading would make.

    Equal prompts give equal bytes. Raises `PromptWriteError` for a prompt that could not be read
    back.
    """
    manifest, embeddings = prompt.manifest, prompt.embeddings
    text = manifest.to_json()
    try:
        Manifest.from_json(text)
    except PromptError as error:
        raise PromptWriteError(f"Prompt {manifest.name!r} was not written: {error}") from None
    if embeddings.dtype != np.float32 or embeddings.shape != manifest.shape:
        raise PromptWriteError(
            f"Prompt {manifest.name!r} was not written: its embeddings are {embeddings.dtype}"
            f" {embeddings.shape}; give float32 {manifest.shape}, as its manifest says."
        )
    if not np.isfinite(embeddings).all():
        raise PromptWriteError(
            f"Prompt {manifest.name!r} was not written: its embeddings are not all finite;"
            " tune again with a lower learning rate."
        )
    numbers = np.ascontiguousarray(embeddings)
    text = manifest.to_json(_content_sha256(text, NO_DIGEST, numbers.astype("<f4").tobytes()))
    data = safetensors.numpy.save({TENSOR_NAME: numbers}, {METADATA_KEY: text})
    if len(data) > MAX_FILE_BYTES:
        raise PromptWriteError(
            f"Prompt {manifest.name!r} was not written: it takes {len(data)} bytes of the"
            f" {MAX_FILE_BYTES} allowed; tune again with fewer virtual tokens."
        )
    return data


def copy_prompt(source: Path, target: Path) -> PromptFile:
    """Verify the file at `source`, copy it byte for byte and return its prompt.

    Raises as `read_prompt` and `write_prompt` do; `target` is then unchanged.
    """
    with _opened(source) as stream:
        data = stream.read(MAX_FILE_BYTES)
    return install_prompt(data, target, str(source))


def install_prompt(data: bytes, target: Path, source: str) -> PromptFile:
    """Verify the bytes of a prompt file and write them to `target`; errors name `source`.

    Raises as `read_prompt` and `write_prompt` do; `target` is then unchanged.
    """
    prompt = parse_prompt(data, source)
    _replace(target, data)
    return prompt


def parse_prompt(data: bytes, source: str) -> PromptFile:
    """Return the prompt in the bytes of a file, fully verified; errors name `source`.

    Raises `NotAPromptFile`, `UnsupportedVersion` or `CorruptPrompt`.
    """
    with _named(source):
        return _read(BytesIO(data), len(data))


def read_tensor(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return `prompt_embeddings` of a safetensors file without a manifest, as PEFT writes it.

    Raises `NotAPromptFile`, and `CorruptPrompt` unless it is the only tensor, finite, of `shape`.
    """
    with _opened(path) as stream:
        header, raw = _read_json(stream, _size(stream))
        tensors = header.keys() - {"__metadata__"}
        if tensors != {TENSOR_NAME}:
            raise _corrupt(f"must hold one tensor, {TENSOR_NAME}")
        n_bytes = _size(stream) - len(raw)
        return _tensor(stream, _verify_tensor(header[TENSOR_NAME], shape, n_bytes), shape)[0]


def sha256_of(path: Path) -> str:
    """Return the sha256 (hex) of the file at `path`; raises `NotAPromptFile` if unreadable."""
    with _opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _corrupt(what: str) -> CorruptPrompt:
    return CorruptPrompt(f"The prompt file {what}; fetch it again or tune the prompt again.")


def _not_a_prompt(what: str) -> NotAPromptFile:
    return NotAPromptFile(f"The file {what}; choose a file that `attune tune` wrote.")


def _replace(path: Path, data: bytes) -> None:
    try:
        replace_file(path, data)
    except OSError as error:
        raise PromptWriteError(
            f"{path} could not be written ({error.strerror or error});"
            " check the folder, its permissions and the free space, then try again."
        ) from error


@contextlib.contextmanager
def _named(source: str) -> Iterator[None]:
    """Let every `PromptError` from the block name `source`."""
    try:
        yield
    except PromptError as error:
        raise type(error)(f"{source}: {error}") from None


def _size(stream: BufferedReader) -> int:
    return os.fstat(stream.fileno()).st_size


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file of allowed size; errors in the block become a `PromptError`."""
    try:
        with _named(str(path)), open_regular_file(path, MAX_FILE_BYTES) as stream:
            yield stream
    except OSError as error:
        reason = error.strerror or error
        raise NotAPromptFile(
            f"{path} cannot be read ({reason}); check the path and its permissions."
        ) from error


def _read(
    stream: BufferedReader | BytesIO, size: int, model: ModelIdentity | None = None
) -> PromptFile:
    """The prompt in a stream of `size` bytes at its beginning; the header is verified first."""
    header = _read_header(stream, size)
    if model is not None:
        check_compatible(header.manifest, model)
    embeddings, data = _tensor(stream, header.dtype, header.manifest.shape)
    fields = FileFields.from_json(header.text)
    stated = fields.content_sha256
    if stated is not None and _content_sha256(header.text, stated, data) != stated:
        raise _corrupt("was changed: its numbers or its manifest are not those that were written")
    # Of the bytes that were read, because the file may have been replaced since.
    digest = hashlib.sha256(header.raw)
    digest.update(data)
    return PromptFile(header.manifest, embeddings, digest.hexdigest(), fields.format_version)


def _content_sha256(manifest: str, stated: str, data: bytes | bytearray) -> str:
    """The digest that binds a manifest's text, without the one it states, and the tensor's bytes.

    Of the text as it is stored and not of what it means, so that no changed bit goes unnoticed.
    """
    digest = hashlib.sha256(manifest.replace(stated, NO_DIGEST).encode("ascii"))
    digest.update(data)
    return digest.hexdigest()


def _tensor(
    stream: BufferedReader | BytesIO, dtype: _DType, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], bytearray]:
    """The numbers of a verified tensor and their bytes in the file."""
    data = bytearray(shape[0] * shape[1] * _BYTES_PER_NUMBER[dtype])
    if stream.readinto(data) != len(data):
        raise _corrupt("changed while it was read")
    embeddings = _decode(data, dtype).reshape(shape)
    if not np.isfinite(embeddings).all():
        raise _corrupt("holds numbers that are not finite")
    return embeddings, data


@dataclass(frozen=True)
class _Header:
    manifest: Manifest
    text: str
    """The manifest's JSON."""
    dtype: _DType
    """Of the tensor as it is stored."""
    raw: bytes
    """Everything before the first tensor byte."""


def _read_header(stream: BufferedReader | BytesIO, size: int) -> _Header:
    """Return the verified header, leaving `stream` at the first tensor byte."""
    header, raw = _read_json(stream, size)
    text = _manifest_text(header)
    manifest = Manifest.from_json(text)
    # Only now, so that a file of a later version is reported as such and not as corrupt.
    if header != {"__metadata__": {METADATA_KEY: text}, TENSOR_NAME: header.get(TENSOR_NAME)}:
        raise _corrupt(f"must hold one tensor, {TENSOR_NAME}, and one metadata key, {METADATA_KEY}")
    dtype = _verify_tensor(header[TENSOR_NAME], manifest.shape, size - len(raw))
    return _Header(manifest, text, dtype, raw)


def _read_json(stream: BufferedReader | BytesIO, size: int) -> tuple[dict[str, JSON], bytes]:
    """The header of a safetensors file of `size` bytes, and all bytes before the tensors."""
    prefix = stream.read(_LENGTH_BYTES)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < _LENGTH_BYTES or length > MAX_HEADER_BYTES:
        if (prefix + stream.read(len(_LFS_POINTER))).startswith(_LFS_POINTER):
            raise NotAPromptFile("The file is a Git LFS pointer; run `git lfs pull` to fetch it.")
        raise _not_a_prompt("does not begin with a safetensors header")
    if _LENGTH_BYTES + length > size:
        raise _corrupt("is cut short in its header")
    raw = stream.read(length)
    return _parse_header(raw), prefix + raw


def _parse_header(data: bytes) -> dict[str, JSON]:
    try:
        header = strict_json.parse(data.decode("utf-8"))
    except ValueError as error:  # UnicodeDecodeError is one
        reason = "text that is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise _not_a_prompt(f"has a safetensors header with {reason}") from None
    if not isinstance(header, dict) or not data.startswith(b"{"):
        raise _not_a_prompt("has a safetensors header that is not a JSON object")
    return header


def _manifest_text(header: dict[str, JSON]) -> str:
    metadata = header.get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise _not_a_prompt("is a safetensors file without Attune's manifest")
    return text


@dataclass(frozen=True)
class _TensorEntry:
    """What a safetensors header states about a tensor."""

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    dtype: _DType
    shape: tuple[StrictInt, StrictInt]
    data_offsets: tuple[StrictInt, StrictInt]


_TENSOR_ENTRY = TypeAdapter(_TensorEntry)


def _verify_tensor(fields: JSON, shape: tuple[int, int], n_bytes: int) -> _DType:
    """Return the dtype if `fields` describe exactly the `n_bytes` behind the header."""
    try:
        entry = validate(_TENSOR_ENTRY, fields)
    except InvalidDataError as error:
        raise _corrupt(f"has a wrong tensor entry: {error}") from None
    if entry.shape != shape:
        raise _corrupt(f"must have the shape its manifest implies, {shape}")
    expected = shape[0] * shape[1] * _BYTES_PER_NUMBER[entry.dtype]
    if entry.data_offsets != (0, expected) or n_bytes != expected:
        raise _corrupt(f"must hold {expected} bytes of tensor and nothing else")
    return entry.dtype


def _decode(data: bytearray, dtype: _DType) -> NDArray[np.float32]:
    """Widen little-endian numbers to float32, exactly."""
    if dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, "<f4" if dtype == "F32" else "<f2").astype(np.float32, copy=False)


def _sizes(model: ModelIdentity) -> tuple[int, int, int, int]:
    return model.num_layers, model.num_key_value_heads, model.head_dim, model.hidden_size


def _label(model: ModelIdentity) -> str:
    """A model's name with its fingerprint, because two checkpoints can share a name."""
    return f"{model.name!r} ({model.model_fingerprint[:8]})"
