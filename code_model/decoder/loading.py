"""Load a `DecoderModel` from a model folder: on the CPU, frozen, in float32 or quantised."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from code_model.block_quantisation import Scheme
from code_model.decoder.llama import Llama, LlamaConfig, UnsupportedModelError
from code_model.decoder.model import DecoderModel
from code_model.language_model import ModelLoadError
from code_model.model_folder import ModelFolder
from code_model.stored_weights import read_matrix, scheme_named
from file_access.regular_file import check_regular_file


def computes(config: Mapping[str, Any]) -> bool:
    """Whether this decoder computes the architecture of a parsed `config.json`."""
    try:
        LlamaConfig.from_hf(dict(config))
    except (UnsupportedModelError, KeyError, TypeError, ValueError):
        return False
    return True


def load_decoder(folder: ModelFolder, quantisation: Scheme | None = None) -> DecoderModel:
    """The model of a folder. `quantisation` rounds its matrices while they are read.

    Raises `ModelLoadError` if the weights are missing, truncated or of another shape than
    `config.json`, if they are stored in another scheme than `quantisation`, or if this decoder does
    not compute the architecture.
    """
    try:
        config = LlamaConfig.from_hf(folder.config)
    except (UnsupportedModelError, KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"{folder.path.name}/config.json cannot be used: {error}.") from error
    llama = Llama(config)
    if folder.stored_scheme is None:
        _load_weights(llama, folder.weight_files, quantisation)
    elif quantisation in (None, folder.stored_scheme):
        _load_stored(llama, folder.weight_files, folder.stored_scheme)
    else:
        raise ModelLoadError(
            f"The weights of {folder.name} are stored in {folder.stored_scheme}; choose no other "
            "quantisation."
        )
    return DecoderModel(
        name=folder.name,
        folder=folder.path,
        llama=llama.requires_grad_(False).eval(),
        tokenizer=folder.tokenizer,
        encoder=folder.encoder,
        model_fingerprint=folder.model_fingerprint,
        tokenizer_fingerprint=folder.tokenizer_fingerprint,
        show_thresholds=folder.show_thresholds,
    )


def _tensors(files: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    """Names and copies of all tensors, one at a time. Raises `ModelLoadError`."""
    for file in files:
        try:
            check_regular_file(file, sys.maxsize)
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    # a copy: the file is mapped, and whoever cuts it would end the process
                    yield name, opened.get_tensor(name).clone()
        except (OSError, SafetensorError) as error:
            raise ModelLoadError(
                f"{file} is missing or truncated; get the model's files again."
            ) from error


def _load_weights(llama: Llama, files: Sequence[Path], quantisation: Scheme | None) -> None:
    """Load a checkpoint; with a scheme, only one matrix at a time exists as floats.

    Raises `ModelLoadError`.
    """
    expected = {name: tensor.shape for name, tensor in llama.state_dict().items()}
    found, full = dict[str, torch.Size](), dict[str, Tensor]()
    for name, stored in _tensors(files):
        tensor = stored.float()
        if llama.config.tie_word_embeddings and name == "lm_head.weight":
            continue
        found[name] = tensor.shape
        if quantisation is None or tensor.ndim != 2 or expected.get(name) != tensor.shape:
            full[name] = tensor
        else:
            llama.quantise(name, tensor, quantisation)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ModelLoadError(
                f"The weights do not match config.json at {name} (found {found.get(name)}, "
                f"expected {expected.get(name)}); the folder mixes two models."
            )
    llama.load_state_dict(full, assign=True, strict=False)


def _load_stored(llama: Llama, files: Sequence[Path], scheme_name: str) -> None:
    """Load weights that are quantised on the disk. Raises `ModelLoadError`."""
    stored, full = dict(_tensors(files)), dict[str, Tensor]()
    try:
        scheme = scheme_named(scheme_name)
        for name, tensor in llama.state_dict().items():
            if tensor.ndim == 2:
                llama.put(name, read_matrix(name, stored, tensor.shape, scheme))
            else:
                full[name] = stored[name].float().view(tensor.shape)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelLoadError(
            f"The weights do not match config.json ({error}); the folder mixes two models."
        ) from error
    llama.load_state_dict(full, assign=True, strict=False)
