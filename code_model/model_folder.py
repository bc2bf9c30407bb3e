"""A model in Hugging Face format on disk: its config, tokenizer, FIM template and fingerprints."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from code_model.fim import FimEncoder
from code_model.fim_templates import (
    FimTemplate,
    TemplateError,
    named_template,
    recognised_template,
)
from code_model.gguf_source import KEY as GGUF_KEY
from code_model.gguf_source import GgufSource, dequantised_sha256
from code_model.language_model import ModelLoadError
from code_model.show_thresholds import UNCALIBRATED, ShowThresholds
from code_model.tokenizer import Tokenizer
from file_access.regular_file import check_regular_file, open_regular_file, read_regular_file

MAX_JSON_BYTES = 64 << 20  # an index of weights names every tensor
MAX_TOKENIZER_BYTES = 256 << 20
STORED_BY = "attune"
QUANTISED_KEY = "quantization_config"
"""Of `config.json`, as transformers names it."""
"""The `quant_method` of quantised weights that our own decoder reads as they are stored."""


@dataclass(frozen=True)
class ModelFolder:
    """What every engine reads of a model folder; the weights are left to the engine.

    `config` is the parsed `config.json`. The fingerprints (SHA-256, hex) are those of
    `prompts.manifest.ModelIdentity`.
    """

    path: Path
    name: str
    config: dict[str, Any]
    weight_files: tuple[Path, ...]
    tokenizer: Tokenizer
    encoder: FimEncoder
    show_thresholds: ShowThresholds
    gguf: GgufSource | None = None
    sha256s: Mapping[Path, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that decide what the model computes and how it is asked."""
        names = ("config.json", "tokenizer.json", "attune.json", "model.safetensors.index.json")
        weights = [file for file in self.weight_files if self.gguf is None or file.exists()]
        source = [] if self.gguf is None else [self.gguf.path]
        own = [self.path / name for name in names]
        return (*(file for file in own if file.exists()), *weights, *source)

    @property
    def stored_scheme(self) -> str | None:
        """The scheme that the weights are stored in (`stored_weights`), None for full weights."""
        described = self.config.get(QUANTISED_KEY)
        if not isinstance(described, dict) or described.get("quant_method") != STORED_BY:
            return None
        return str(described.get("scheme"))

    @property
    def model_fingerprint(self) -> str:
        """Of the config and the weights; of weights made from a GGUF file, that file's.

        Raises `ModelLoadError` if the weights are not those that were made from it.
        """
        own = self.weights_sha256
        if self.gguf is None:
            return own
        if own != dequantised_sha256(self.path, self.gguf):
            raise ModelLoadError(
                f"The weights in {self.path} are not those of {self.gguf.path.name}; the folder "
                "mixes two models: add the model again."
            )
        return self.gguf.sha256

    @property
    def weights_sha256(self) -> str:
        """Of the config and the weights in this folder."""
        return self._sha256(self.path / "config.json", *self.weight_files)

    @property
    def tokenizer_fingerprint(self) -> str:
        """Of the tokenizer's file."""
        return self._sha256(self.path / "tokenizer.json")

    def _sha256(self, *files: Path) -> str:
        """Over the files' own SHA-256, so that recorded ones need not be computed again."""
        digest = hashlib.sha256()
        for file in files:
            digest.update(bytes.fromhex(self.sha256s.get(file) or sha256_of(file)))
        return digest.hexdigest()


def read_model_folder(
    path: Path, sha256s: Mapping[Path, str] = MappingProxyType({}), layout: str | None = None
) -> ModelFolder:
    """Read everything but the weights. `sha256s` (hex) are of files whose hash is known.

    `layout` names the FIM template; without it, attune.json does, else the tokenizer's tokens.

    Raises `ModelLoadError` if there is no folder, if a file is missing or damaged, or if the
    tokenizer lacks a token of the FIM template.
    """
    _check_is_folder(path)
    config = read_json(path / "config.json")
    tokenizer_file = path / "tokenizer.json"
    try:
        check_regular_file(tokenizer_file, MAX_TOKENIZER_BYTES)
        tokenizer = Tokenizer(tokenizer_file)
    except Exception as error:  # the library raises plain Exception
        raise ModelLoadError(
            f"{tokenizer_file} is missing or damaged; get the model's files again."
        ) from error
    description = read_json(path / "attune.json") if (path / "attune.json").exists() else {}
    if layout is not None:
        description["layout"] = layout
    try:
        encoder = FimEncoder(tokenizer, _template(description, tokenizer))
    except TemplateError as error:
        raise ModelLoadError(f"{path.name} cannot be used: {error}.") from error
    name = str(description.get("name", path.name))
    thresholds = ShowThresholds.from_dict(description.get("show_thresholds")) or UNCALIBRATED
    return ModelFolder(
        path,
        name,
        config,
        _weight_files(path),
        tokenizer,
        encoder,
        thresholds,
        _gguf_source(path),
        sha256s,
    )


def _check_is_folder(path: Path) -> None:
    """Raise `ModelLoadError`, which says what to name instead, unless `path` is a folder."""
    if path.suffix == ".gguf" and path.is_file():
        raise ModelLoadError(
            f"{path.name} is a GGUF file; add it with `attune model add {path}`, and name the "
            "model."
        )
    if not path.is_dir():
        raise ModelLoadError(
            f"There is no model folder {path}; name a folder with config.json, tokenizer.json and "
            "model.safetensors."
        )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises `ModelLoadError`."""
    try:
        content = json.loads(read_regular_file(path, MAX_JSON_BYTES).decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(
            f"{path} is missing or is not JSON; get the model's files again."
        ) from error
    if not isinstance(content, dict):
        raise ModelLoadError(f"{path} does not hold a JSON object; get the model's files again.")
    return content


def _template(description: dict[str, Any], tokenizer: Tokenizer) -> FimTemplate:
    """The FIM template that `attune.json` names, else that of the family whose tokens there are.

    Raises `TemplateError`.
    """
    if "layout" in description:
        return named_template(str(description["layout"]), tokenizer.token_to_id)
    return recognised_template(tokenizer.token_to_id)


def _gguf_source(folder: Path) -> GgufSource | None:
    file = folder / "attune.json"
    entry = read_json(file).get(GGUF_KEY) if file.exists() else None
    return GgufSource.from_json(folder, entry) if isinstance(entry, dict) else None


def _weight_files(folder: Path) -> tuple[Path, ...]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return (folder / "model.safetensors",)
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ModelLoadError(f"{index} has no weight_map; get the model's files again.")
    names = sorted({str(name) for name in weight_map.values()})
    if any(Path(name).name != name for name in names):
        raise ModelLoadError(f"{index} names files outside its folder; do not use this model.")
    return tuple(folder / name for name in names)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hex. Raises `OSError`."""
    with open_regular_file(file, sys.maxsize) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
