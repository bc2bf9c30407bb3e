"""Write a trained model in Hugging Face format, which the package ships and transformers opens."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from code_model.block_quantisation import Scheme
from code_model.decoder.llama import Llama
from code_model.fim_templates import ATTUNE
from code_model.stored_weights import description, stored_weights


def export(
    model: Llama,
    tokenizer: Path,
    out: Path,
    name: str = "attune-default",
    scheme: Scheme | None = None,
    card: Path | None = None,
) -> None:
    """Replace the folder `out` by config, weights and tokenizer; its README.md stays.

    Where there is none yet, a `card` becomes it.

    The weights are in bfloat16 or, with a `scheme`, quantised as our own decoder serves them
    (`code_model.stored_weights`).
    """
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = {key: value.to(torch.bfloat16).cpu() for key, value in model.state_dict().items()}
    if scheme is not None:
        weights = stored_weights(weights, scheme)
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    special = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": ATTUNE.beginning,
        "eos_token": ATTUNE.end[0],
        "pad_token": ATTUNE.end[0],
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.config.max_position_embeddings,
    }
    for file, content in (
        ("config.json", _config(model, scheme)),
        ("tokenizer_config.json", special),
        ("attune.json", {"name": name, "layout": ATTUNE.family}),
    ):
        text = json.dumps(content, indent=2, sort_keys=True)
        (partial / file).write_text(text + "\n", encoding="utf-8")
    shutil.copy(tokenizer, partial / "tokenizer.json")
    (partial / "model.safetensors").chmod(0o644)  # safetensors writes it for its owner only
    cards = (out / "README.md", card)
    kept = next((each for each in cards if each is not None and each.exists()), None)
    if kept is not None:
        shutil.copy(kept, partial / "README.md")
    previous = out.with_name(out.name + ".previous")
    shutil.rmtree(previous, ignore_errors=True)
    if out.exists():
        out.rename(previous)
    partial.rename(out)
    shutil.rmtree(previous, ignore_errors=True)


def _config(model: Llama, scheme: Scheme | None) -> dict[str, Any]:
    shape = asdict(model.config)
    rope_theta = shape.pop("rope_theta")
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "mlp_bias": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "dtype": "bfloat16",
        "rope_theta": rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": rope_theta},
        **shape,
    }
    if scheme is not None:
        config["quantization_config"] = description(scheme)
    return config
