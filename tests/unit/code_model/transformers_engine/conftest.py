"""Tiny random models of other families, in folders as users have them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from code_model.model_folder import ModelFolder, read_model_folder
from code_model.transformers_engine.loading import load_transformers
from code_model.transformers_engine.model import TransformersModel

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
RECURRENT = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {"sliding_window": None},
    "gemma": {},
    "gpt_bigcode": {"multi_query": True, "n_inner": 48},
    "stablelm": {"partial_rotary_factor": 0.5},
    "granite": {"attention_multiplier": 0.2, "logits_scaling": 2.0, "embedding_multiplier": 3.0},
    "qwen3_moe": EXPERTS,
}
REFUSED: dict[str, dict[str, Any]] = {
    "gemma3_text": {"sliding_window": 16, "num_hidden_layers": 6},
    "starcoder2": {"sliding_window": 4096, "max_position_embeddings": 16384},
    "mistral": {"sliding_window": 16},
    "qwen2": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2},
    "mamba": {"state_size": 4},
    "falcon_h1": {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8},
    "qwen3_next": {**EXPERTS, **RECURRENT, "num_hidden_layers": 4},
    "qwen3_5_text": {**RECURRENT, "num_hidden_layers": 4},
}


@pytest.fixture(scope="session")
def folder_of(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., ModelFolder]:
    """Write a random model of a type, with the tokenizer of `tiny_model`.

    `weights=False` writes its config alone.
    """

    def write(kind: str, settings: dict[str, Any], *, weights: bool = True) -> ModelFolder:
        folder = tmp_path_factory.mktemp(kind)
        for name in ("tokenizer.json", "attune.json"):
            shutil.copy(tiny_model / name, folder)
        vocab = read_model_folder(tiny_model).config["vocab_size"]
        config = AutoConfig.for_model(kind, **{**SHAPE, "vocab_size": vocab, **settings})
        if weights:
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config).float()
            with torch.no_grad():  # larger weights, so that different inputs give other outputs
                for name, parameter in model.named_parameters():
                    if parameter.ndim > 1:
                        parameter.mul_(6.0)
                    elif name.endswith("bias"):
                        parameter.normal_(std=0.3)
            model.save_pretrained(folder)
        else:
            config.save_pretrained(folder)
        return read_model_folder(folder)

    return write


@pytest.fixture(scope="session")
def model_of(folder_of: Callable[..., ModelFolder]) -> Callable[[str], TransformersModel]:
    """The random model of a family of `FAMILIES`, loaded in float32 on the CPU."""
    loaded: dict[str, TransformersModel] = {}

    def load(family: str) -> TransformersModel:
        if family not in loaded:
            folder = folder_of(family, FAMILIES[family])
            loaded[family] = load_transformers(folder, device="cpu", precision="float32")
        return loaded[family]

    return load
