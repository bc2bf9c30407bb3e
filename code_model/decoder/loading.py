"""Load a `DecoderModel` from a model folder: on the CPU, frozen, in float32 or quantised."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from code_model.decoder.llama import Llama, LlamaConfig, UnsupportedModelError
from code_model.decoder.model import DecoderModel
from code_model.decoder.quantised import Scheme
from code_model.language_model import ModelLoadError
from code_model.model_folder import ModelFolder
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
    `config.json`, or if this decoder does not compute the architecture.
    """
    try:
        config = LlamaConfig.from_hf(folder.config)
    except (UnsupportedModelError, KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"{folder.path.name}/config.json cannot be used: {error}.") from error
    llama = Llama(config)
    _load_weights(llama, folder.weight_files, quantisation)
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


def _weights(files: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    """Names and float32 copies of all weights, one at a time. Raises `ModelLoadError`."""
    for file in files:
        try:
            check_regular_file(file, sys.maxsize)
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    # a copy: the file is mapped, and whoever cuts it would end the process
                    yield name, opened.get_tensor(name).to(torch.float32, copy=True)
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
    for name, tensor in _weights(files):
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
