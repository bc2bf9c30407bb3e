"""Load a `TransformersModel` from a model folder: safetensors only, no code of the folder."""

import json
import sys
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from code_model.language_model import ModelLoadError, NotEnoughMemoryError
from code_model.model_folder import QUANTISED_KEY, ModelFolder
from code_model.out_of_memory import is_out_of_memory
from code_model.quiet import quiet
from code_model.stored_weights import full_weights, scheme_named
from code_model.transformers_engine.architecture import check_config
from code_model.transformers_engine.device import choose_device, choose_precision
from code_model.transformers_engine.model import TransformersModel
from code_model.transformers_engine.network import Network
from code_model.transformers_engine.probe import probe
from code_model.transformers_engine.quantisation import quantisation_config
from file_access.regular_file import check_regular_file
from prompts.manifest import ModelIdentity

IGNORED_KEYS = ("auto_map", "attn_implementation", "_attn_implementation", "experts_implementation")


def load_transformers(
    folder: ModelFolder,
    *,
    device: str | None = None,
    precision: str | None = None,
    quantisation: str | None = None,
) -> TransformersModel:
    """The model of a folder, on the best device and in the precision that is fast there.

    Raises `ModelLoadError` if transformers does not have the architecture, if its cache cannot be
    cut (`architecture`, `probe`), if weights are missing, truncated or of another model, or if the
    device, the precision or the quantisation does not exist here.
    """
    config = _config(folder)
    check_config(config)
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    causal = _load(folder, config, where, dtype, quantisation)
    network, forms = probe(causal, quantisation)
    return TransformersModel(folder, _identity(folder, network), network, forms, quantisation)


def _config(folder: ModelFolder) -> PreTrainedConfig:
    kind = str(folder.config.get("model_type"))
    if kind not in CONFIG_MAPPING:
        raise ModelLoadError(
            f"transformers does not have models of the type {kind!r}, and code that comes with a "
            "model is never run; choose another model or update transformers."
        )
    ignored = IGNORED_KEYS if folder.stored_scheme is None else (*IGNORED_KEYS, QUANTISED_KEY)
    given = {name: value for name, value in folder.config.items() if name not in ignored}
    given = json.loads(json.dumps(given), object_hook=_infinity)
    try:
        config: PreTrainedConfig = CONFIG_MAPPING[kind].from_dict(given)
    except Exception as error:  # validation differs from model to model
        raise ModelLoadError(
            f"{folder.path.name}/config.json cannot be used by transformers "
            f"({type(error).__name__}); get the model's files again."
        ) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelLoadError(
            f"Models of the type {kind} do not continue a text; choose a causal language model."
        )
    return config


def _infinity(content: dict[str, Any]) -> Any:
    """transformers writes infinity and NaN as {"__float__": "Infinity"}."""
    return float(content["__float__"]) if content.keys() == {"__float__"} else content


def _load(
    folder: ModelFolder,
    config: PreTrainedConfig,
    device: torch.device,
    dtype: torch.dtype,
    quantisation: str | None,
) -> PreTrainedModel:
    """The model with the folder's weights. Without a path, transformers reads no file itself."""
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    others: dict[str, Any] = {}
    weights = _weights(folder)
    try:
        with quiet():
            if quantisation is not None:
                others["quantization_config"] = quantisation_config(quantisation, dtype)
                others["device_map"] = {"": str(device)}
            causal, report = kind.from_pretrained(
                None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True,
                ignore_mismatched_sizes=True,  # `_check` refuses them
                trust_remote_code=False, local_files_only=True, **others,
            )  # fmt: skip
            if quantisation is None:
                causal = causal.to(device)
    except ModelLoadError:  # what the quantisation needs is not there
        raise
    except Exception as error:  # transformers and the quantisers raise all kinds
        if is_out_of_memory(error):
            raise NotEnoughMemoryError(
                f"{folder.name} does not fit the memory of the device {device}; choose a "
                "quantisation, a smaller model or the device cpu."
            ) from None
        raise ModelLoadError(
            f"transformers cannot load {folder.name} ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no message'}); get the model's files "
            "again or choose another engine."
        ) from error
    _check(folder, report)
    frozen: PreTrainedModel = causal.requires_grad_(False).eval()
    return frozen


def _check(folder: ModelFolder, report: dict[str, Any]) -> None:
    """Raise `ModelLoadError` unless config and weights belong together."""
    for kind in ("mismatched_keys", "missing_keys", "unexpected_keys", "error_msgs"):
        entries = report.get(kind) or ()
        names = sorted(str(each[0] if isinstance(each, tuple) else each) for each in entries)
        if names:
            raise ModelLoadError(
                f"The weights of {folder.name} do not match config.json at {names[0]} "
                f"({len(names)} {kind.replace('_', ' ')}); the folder mixes two models."
            )


def _weights(folder: ModelFolder) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for file in folder.weight_files:
        try:
            check_regular_file(file, sys.maxsize)
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    weights[name] = opened.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise ModelLoadError(
                f"{file} is missing or truncated; get the model's files again."
            ) from error
    if folder.stored_scheme is None:
        return weights
    try:
        return full_weights(weights, scheme_named(folder.stored_scheme))
    except ValueError as error:
        raise ModelLoadError(
            f"The weights of {folder.name} do not match config.json ({error}); the folder mixes "
            "two models."
        ) from error


def _identity(folder: ModelFolder, network: Network) -> ModelIdentity:
    return ModelIdentity(
        name=folder.name,
        model_fingerprint=folder.model_fingerprint,
        tokenizer_fingerprint=folder.tokenizer_fingerprint,
        layout_fingerprint=folder.encoder.template.fingerprint(),
        num_layers=network.shape.layers,
        num_key_value_heads=network.shape.heads,
        head_dim=network.shape.key_size,
        hidden_size=network.width,
    )
