"""Load a `LlamaCppModel` from a model folder that names a GGUF file, or refuse it with a reason."""

import os

import psutil

from code_model.language_model import ModelLoadError
from code_model.llama_cpp.model import LlamaCppModel
from code_model.llama_cpp_library import Weights, library
from code_model.model_folder import ModelFolder
from prompts.manifest import ModelIdentity

MAX_POSITIONS = 4096
"""llama.cpp takes and clears the memory of a session's whole cache at once. A prompt, the default
context and a suggestion take a quarter of it."""


def load_llama_cpp(folder: ModelFolder) -> LlamaCppModel:
    """The model of a folder.

    Raises `ModelLoadError` if the package is not installed, the GGUF file is gone, cut short or
    another one, is larger than the memory, or holds a model whose cache cannot be cut at a prefix.
    """
    if folder.gguf is None:
        raise ModelLoadError(
            f"{folder.path} names no GGUF file, which the engine llama.cpp needs; choose another "
            "engine, or add the model's GGUF file."
        )
    library()  # first, because the file takes longer to read
    folder.gguf.check(folder.sha256s.get(folder.gguf.path))
    _check_memory(folder)
    weights = Weights(folder.gguf.path)
    _check_cache(folder.name, weights)
    identity = _identity(folder, weights)
    trained = int(weights.api.llama_model_n_ctx_train(weights.pointer))
    return LlamaCppModel(
        name=folder.name,
        folder=folder.path,
        weights=weights,
        identity=identity,
        tokenizer=folder.tokenizer,
        encoder=folder.encoder,
        show_thresholds=folder.show_thresholds,
        max_positions=min(trained, MAX_POSITIONS),
        threads=_threads(),
        architecture=weights.description("general.architecture") or "",
    )


def _threads() -> int:
    """One for each physical core that this process may use: llama.cpp's threads wait for each
    other at every layer, so one too many makes it several times slower."""
    cores = psutil.cpu_count(logical=False) or 1
    if not hasattr(os, "sched_getaffinity"):  # macOS and Windows
        return cores
    return min(cores, len(os.sched_getaffinity(0)))


def _check_memory(folder: ModelFolder) -> None:
    """Raise `ModelLoadError` if the weights alone exceed this machine's memory."""
    total = psutil.virtual_memory().total
    if folder.gguf is not None and folder.gguf.size > total:
        raise ModelLoadError(
            f"{folder.name} takes {folder.gguf.size / 1e9:.1f} GB and this machine has "
            f"{total / 1e9:.1f} GB of memory; use a smaller model or a smaller quantisation."
        )


def _check_cache(name: str, weights: Weights) -> None:
    """Raise `ModelLoadError` unless every layer keeps all keys and values."""
    api, model = weights.api, weights.pointer
    window = int(api.llama_model_n_swa(model))
    if window > 0:
        reason = f"has layers of sliding-window attention ({window} tokens), which forget a prompt"
    elif api.llama_model_is_recurrent(model) or api.llama_model_is_hybrid(model):
        reason = "has recurrent layers, whose state cannot be cut back to a prefix"
    elif api.llama_model_has_encoder(model) or api.llama_model_is_diffusion(model):
        reason = "does not write from left to right"
    else:
        return
    raise ModelLoadError(
        f"{name} {reason}; choose a model whose layers all have full attention, such as "
        "Qwen2.5-Coder."
    )


def _identity(folder: ModelFolder, weights: Weights) -> ModelIdentity:
    """What prompts are bound to: the GGUF file itself, and sizes as llama.cpp states them.

    Raises `ModelLoadError` if config.json states other ones.
    """
    assert folder.gguf is not None  # noqa: S101 (the caller has checked)
    api, model, config = weights.api, weights.pointer, folder.config
    hidden_size, heads = int(api.llama_model_n_embd(model)), int(api.llama_model_n_head(model))
    sizes = {
        "num_hidden_layers": int(api.llama_model_n_layer(model)),
        "num_attention_heads": heads,
        "num_key_value_heads": int(api.llama_model_n_head_kv(model)),
        "hidden_size": hidden_size,
        "vocab_size": weights.vocabulary_size,
    }
    for key, size in sizes.items():
        if config.get(key) != size:
            raise ModelLoadError(
                f"{folder.path.name}/config.json says {key} = {config.get(key)}, and "
                f"{folder.gguf.path.name} has {size}; the folder mixes two models: add the model "
                "again."
            )
    return ModelIdentity(
        name=folder.name,
        model_fingerprint=folder.gguf.sha256,
        tokenizer_fingerprint=folder.tokenizer_fingerprint,
        layout_fingerprint=folder.encoder.template.fingerprint(),
        num_layers=sizes["num_hidden_layers"],
        num_key_value_heads=sizes["num_key_value_heads"],
        head_dim=int(config.get("head_dim") or hidden_size // heads),
        hidden_size=hidden_size,
    )
