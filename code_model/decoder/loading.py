"""Load a `DecoderModel` from a model folder: float32 weights on the CPU, frozen."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from code_model.decoder.llama import Llama, LlamaConfig, UnsupportedModelError
from code_model.decoder.model import DecoderModel
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


def load_decoder(folder: ModelFolder) -> DecoderModel:
    """The model of a folder.

    Raises `ModelLoadError` if the weights are missing, truncated or of another shape than
    `config.json`, or if this decoder does not compute the architecture.
    """
    try:
        config = LlamaConfig.from_hf(folder.config)
    except (UnsupportedModelError, KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"{folder.path.name}/config.json cannot be used: {error}.") from error
    llama = _frozen(config, _weights(folder.weight_files))
    return DecoderModel(
        name=folder.name,
        folder=folder.path,
        llama=llama,
        tokenizer=folder.tokenizer,
        encoder=folder.encoder,
        model_fingerprint=folder.model_fingerprint,
        tokenizer_fingerprint=folder.tokenizer_fingerprint,
        show_thresholds=folder.show_thresholds,
    )


def _weights(files: Sequence[Path]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            check_regular_file(file, sys.maxsize)
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    # a copy: the file is mapped, and whoever cuts it would end the process
                    weights[name] = opened.get_tensor(name).to(torch.float32, copy=True)
        except (OSError, SafetensorError) as error:
            raise ModelLoadError(
                f"{file} is missing or truncated; get the model's files again."
            ) from error
    return weights


def _frozen(config: LlamaConfig, weights: dict[str, Tensor]) -> Llama:
    llama = Llama(config)
    if config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    expected = {name: tensor.shape for name, tensor in llama.state_dict().items()}
    for name in sorted(expected.keys() | weights.keys()):
        shape = weights[name].shape if name in weights else None
        if expected.get(name) != shape:
            raise ModelLoadError(
                f"The weights do not match config.json at {name} (found {shape}, expected "
                f"{expected.get(name)}); the folder mixes two models."
            )
    llama.load_state_dict(weights, assign=True)
    return llama.requires_grad_(False).eval()
