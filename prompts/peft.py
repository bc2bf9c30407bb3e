"""Adapters of PEFT (PROMPT_TUNING, PREFIX_TUNING, CARTRIDGE): a folder of two files.

docs/prompt-file-format.md holds the table of fields. An adapter's configuration comes from a
stranger: only its type and sizes are read, so that no tokenizer, code or other model that it names
is ever loaded.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import Field, StrictInt, TypeAdapter

from file_access.regular_file import read_regular_file
from prompts import strict_json
from prompts.errors import CorruptPrompt, IncompatiblePrompt, NotAPromptFile, PromptWriteError
from prompts.file import TENSOR_NAME, PromptFile, read_tensor
from prompts.form import Form
from prompts.manifest import MAX_VIRTUAL_TOKENS, Manifest, ModelIdentity
from prompts.validation import InvalidDataError, validate

CONFIG_NAME, WEIGHTS_NAME = "adapter_config.json", "adapter_model.safetensors"
METHODS: Mapping[str, Form] = {
    "CARTRIDGE": "kv",
    "PREFIX_TUNING": "kv",
    "PROMPT_TUNING": "embedding",
}
_MAX_CONFIG_BYTES = 1 << 20


def export_adapter(prompt: PromptFile, folder: Path, method: str | None = None) -> None:
    """Write `prompt` as a new folder that `peft.PeftModel.from_pretrained` loads.

    `method` is a key of `METHODS`; by default the first one for the prompt's form. Raises
    `PromptWriteError` for a method of another form, or if the folder exists or cannot be written.
    """
    form = prompt.manifest.form
    methods = [name for name, needed in METHODS.items() if needed == form]
    if not methods:
        raise PromptWriteError(
            f"A prompt of the form {form} cannot be written for PEFT, where every virtual token has"
            " a position; tune one with --form kv or --form embedding."
        )
    method = method or methods[0]
    if method not in methods:
        raise PromptWriteError(
            f"A prompt of the form {form} cannot be written as {method};"
            f" choose {' or '.join(methods)}."
        )
    temporary = folder.parent / f".attune-{secrets.token_hex(8)}.tmp"
    try:
        if folder.exists():
            raise PromptWriteError(f"{folder} exists already; name a new folder.")
        temporary.mkdir(parents=True)
        config = json.dumps(_config(prompt.manifest, method), indent=2, sort_keys=True)
        (temporary / CONFIG_NAME).write_text(config + "\n", "utf-8")
        tensors = {TENSOR_NAME: np.ascontiguousarray(prompt.embeddings)}
        weights = safetensors.numpy.save(tensors, {"format": "pt"})
        (temporary / WEIGHTS_NAME).write_bytes(weights)
        os.rename(temporary, folder)
    except OSError as error:
        raise PromptWriteError(f"{folder} could not be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def import_adapter(folder: Path, identity: ModelIdentity, name: str) -> PromptFile:
    """The adapter in `folder` as a prompt for the model of `identity`, unproven and unaudited.

    An adapter does not identify its model beyond the sizes, so the caller vouches that it was tuned
    with this one. Raises `NotAPromptFile`, `CorruptPrompt` or `IncompatiblePrompt`.
    """
    config = _read_config(folder)
    manifest = Manifest(
        name=name,
        form=METHODS[config.peft_type],
        num_virtual_tokens=config.num_virtual_tokens,
        model=identity,
        recipe={"imported_from": f"PEFT {config.peft_type}"},
        attune_version=version("attune"),
    )
    _check_sizes(config, manifest, folder)
    return PromptFile(manifest, _read_weights(folder / WEIGHTS_NAME, manifest))


def _config(manifest: Manifest, method: str) -> dict[str, Any]:
    model = manifest.model
    width = model.num_key_value_heads * model.head_dim
    fields: dict[str, Any] = {
        "peft_type": method,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model.name,
        "inference_mode": True,
        "num_virtual_tokens": manifest.num_virtual_tokens,
        "num_transformer_submodules": 1,
        "num_layers": model.num_layers,
        "token_dim": model.hidden_size,
    }
    if manifest.form == "kv":
        fields |= {"num_attention_heads": model.num_key_value_heads, "token_dim": width}
    if method == "CARTRIDGE":
        fields["num_frozen_tokens"] = 1
    elif method == "PREFIX_TUNING":
        fields |= {"encoder_hidden_size": width, "prefix_projection": False}
    return fields


@dataclass(frozen=True)
class _AdapterConfig:
    """The fields of `adapter_config.json` that are read; all others are ignored."""

    peft_type: Literal["CARTRIDGE", "PREFIX_TUNING", "PROMPT_TUNING"]
    num_virtual_tokens: Annotated[StrictInt, Field(ge=1, le=MAX_VIRTUAL_TOKENS)]
    num_layers: StrictInt | None = None
    token_dim: StrictInt | None = None


_CONFIG = TypeAdapter(_AdapterConfig)


def _read_config(folder: Path) -> _AdapterConfig:
    path = folder / CONFIG_NAME
    try:
        data = read_regular_file(path, _MAX_CONFIG_BYTES)
    except OSError as error:
        raise NotAPromptFile(
            f"{path} cannot be read ({error.strerror}); name a folder that PEFT saved."
        ) from error
    try:
        return validate(_CONFIG, strict_json.parse(data.decode("utf-8-sig")))
    except InvalidDataError as error:
        if error.field == "peft_type":
            raise NotAPromptFile(
                f"{folder} holds an adapter of another type than {', '.join(METHODS)};"
                " only these are prompts."
            ) from None
        raise CorruptPrompt(f"{path}: {error}; export the adapter again.") from None
    except ValueError as error:
        raise NotAPromptFile(f"{path} holds {error}; name a folder that PEFT saved.") from None


def _check_sizes(config: _AdapterConfig, manifest: Manifest, folder: Path) -> None:
    """Compare the sizes that an adapter states with the model's. Raises `IncompatiblePrompt`."""
    expected = _config(manifest, config.peft_type)
    for key in ("num_layers", "token_dim"):
        stated = getattr(config, key)
        if stated not in (None, expected[key]):
            raise IncompatiblePrompt(
                f"{folder} was tuned for another model: its {key} is {stated}, but"
                f" {manifest.model.name!r} needs {expected[key]}; start Attune with that model."
            )


def _read_weights(path: Path, manifest: Manifest) -> NDArray[np.float32]:
    try:
        return read_tensor(path, manifest.shape)
    except CorruptPrompt as error:
        raise IncompatiblePrompt(
            f"{error} The adapter must have been tuned with {manifest.model.name!r}."
        ) from None
