"""llama.cpp by its Python package: imported when first needed, quiet, and of a version we know."""

import ctypes
import importlib
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from code_model.language_model import ModelLoadError

PACKAGE = "llama-cpp-python"
VERIFIED_VERSION = "0.3.36"
"""The version whose sequence state `code_model.llama_cpp.sequence_state` describes."""
ERROR = 4  # enum ggml_log_level

_last_errors: list[str] = []
_callbacks: list[Any] = []  # the C code keeps no reference


def package_version() -> str | None:
    """Of the installed package; None without it."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def library() -> ModuleType:
    """The package's binding of llama.h. Nothing is ever written to stdout or stderr.

    Raises `ModelLoadError` if the package is not installed or its library does not load.
    """
    try:
        with _short_spinning():
            api = importlib.import_module("llama_cpp.llama_cpp")
    except ImportError as error:
        raise ModelLoadError(
            f"A GGUF file needs the package {PACKAGE}, which is not installed ({error.name}); "
            "install attune[llamacpp]."
        ) from error
    except (OSError, RuntimeError, AttributeError) as error:  # no library, or of another version
        raise ModelLoadError(
            f"The package {PACKAGE} does not load ({error}); install it again."
        ) from error
    if not _callbacks:
        _callbacks.append(api.llama_log_callback(_keep_errors))
        api.llama_log_set(_callbacks[0], None)
        api.llama_backend_init()
    return api


@contextmanager
def _short_spinning() -> Iterator[None]:
    """Let OpenMP, which reads this when it is loaded, wait by spinning for microseconds only.

    llama.cpp's threads wait for each other a thousand times a token. Where other programs compute
    too, they would spin while the one that they wait for has no core: on two busy cores, a token
    took ten times as long with libgomp's default.
    """
    before = os.environ.get("GOMP_SPINCOUNT")
    os.environ["GOMP_SPINCOUNT"] = "300"
    try:
        yield
    finally:
        if before is None:
            del os.environ["GOMP_SPINCOUNT"]
        else:
            os.environ["GOMP_SPINCOUNT"] = before


def _keep_errors(level: int, text: bytes, _: object) -> None:
    """Keep what llama.cpp says about a failure, for the sentence that reports it."""
    if level == ERROR:
        _last_errors.append(text.decode(errors="replace").strip())
        del _last_errors[:-4]


class Weights:
    """A GGUF file that llama.cpp has opened: its vocabulary and, as a rule, its weights.

    `pointer` is the `llama_model *`; it is freed with this object. `only_vocabulary` reads no
    tensor. Weights are mapped into memory, and go to the GPU where the package was built for one.

    Raises `ModelLoadError` if llama.cpp does not load the file.
    """

    def __init__(self, gguf: Path, *, only_vocabulary: bool = False) -> None:
        self.api = library()
        parameters = self.api.llama_model_default_params()
        parameters.vocab_only = only_vocabulary
        parameters.n_gpu_layers = -1 if self.api.llama_supports_gpu_offload() else 0
        _last_errors.clear()
        self.pointer = self.api.llama_model_load_from_file(os.fsencode(gguf), parameters)
        if not self.pointer:
            why = next((text for text in _last_errors if text), "it gives no reason")
            raise ModelLoadError(
                f"llama.cpp does not load {gguf.name} ({why}); get the file again, or use "
                "another one."
            )
        self._finalizer = weakref.finalize(self, self.api.llama_model_free, self.pointer)
        self.vocabulary = self.api.llama_model_get_vocab(self.pointer)
        self.vocabulary_size = int(self.api.llama_vocab_n_tokens(self.vocabulary))

    def tokenize(self, text: str) -> list[int]:
        """Ids of plain text by llama.cpp's own tokenizer; special tokens are not recognised."""
        data = text.encode()
        room = len(data) + 8
        ids = (self.api.llama_token * room)()
        count = self.api.llama_tokenize(self.vocabulary, data, len(data), ids, room, False, False)
        return list(ids[: max(count, 0)])

    def description(self, name: str) -> str | None:
        """A value of the file's metadata by its key."""
        buffer = ctypes.create_string_buffer(256)
        length = self.api.llama_model_meta_val_str(self.pointer, name.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if length >= 0 else None


def differing(weights: Weights, texts: Sequence[str], ids: Sequence[Sequence[int]]) -> list[str]:
    """Those of `texts` to which llama.cpp gives other ids than `ids`."""
    return [
        text
        for text, expected in zip(texts, ids, strict=True)
        if weights.tokenize(text) != list(expected)
    ]
