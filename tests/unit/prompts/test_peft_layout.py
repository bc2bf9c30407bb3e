"""PEFT itself, as oracle, reads a kv row as docs/prompt-file-format.md says."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from prompts.file import PromptFile


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT's own calls into transformers
@pytest.mark.parametrize("peft_type", ["PREFIX_TUNING", "CARTRIDGE"])
def test_kv_rows_are_pefts(kv_prompt: PromptFile, tmp_path: Path, peft_type: str) -> None:
    """The tensor in PEFT's two-file folder gives the keys and values of every layer."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    model = kv_prompt.manifest.model
    n_layers, n_heads, head_dim = model.num_layers, model.num_key_value_heads, model.head_dim
    config = {
        "peft_type": peft_type,
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": kv_prompt.manifest.num_virtual_tokens,
        "num_layers": n_layers,
        "num_attention_heads": n_heads,
        "token_dim": n_heads * head_dim,
        "num_transformer_submodules": 1,
        "inference_mode": True,
        "base_model_name_or_path": model.name,
    }
    extra = (
        {"num_frozen_tokens": 1}
        if peft_type == "CARTRIDGE"
        else {"encoder_hidden_size": n_heads * head_dim, "prefix_projection": False}
    )
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | extra))
    safetensors.numpy.save_file(
        {"prompt_embeddings": kv_prompt.embeddings},
        tmp_path / "adapter_model.safetensors",
        {"format": "pt"},
    )
    base = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=8,
            hidden_size=model.hidden_size,
            intermediate_size=8,
            num_hidden_layers=n_layers,
            num_attention_heads=model.hidden_size // head_dim,
            num_key_value_heads=n_heads,
            head_dim=head_dim,
        )
    )
    cache = peft.PeftModel.from_pretrained(base, tmp_path).get_prompt(batch_size=1)
    rows = kv_prompt.embeddings.reshape(-1, n_layers, 2, n_heads, head_dim)
    for index, layer in enumerate(cache.layers):
        keys, values = (rows[:, index, part].transpose(1, 0, 2)[None] for part in (0, 1))
        np.testing.assert_array_equal(layer.keys.detach().numpy(), keys)
        np.testing.assert_array_equal(layer.values.detach().numpy(), values)
