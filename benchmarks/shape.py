"""A model of Qwen2.5-Coder-0.5B's shape with random weights: its speed, without its knowledge."""

from pathlib import Path
from typing import Any

import torch

from code_model.llama import Llama, LlamaConfig
from code_model.loading import BaseModel

CONFIG = LlamaConfig(
    vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
    num_attention_heads=14, num_key_value_heads=2, head_dim=64, max_position_embeddings=32_768,
    rms_norm_eps=1e-6, rope_theta=1_000_000.0, attention_bias=True, tie_word_embeddings=True,
)  # fmt: skip


def random_base(like: BaseModel) -> BaseModel:
    """Weights that bfloat16 holds, as published ones are; layout and tokenizer of `like`."""
    model = Llama(CONFIG)
    generator = torch.Generator().manual_seed(0)
    model.init_weights(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    return BaseModel(
        name="0.5B shape",
        folder=Path(),
        model=model.requires_grad_(False).eval(),
        tokenizer=like.tokenizer,
        encoder=like.encoder,
        model_fingerprint="0" * 64,
        tokenizer_fingerprint="0" * 64,
    )


def transformers_twin(base: BaseModel) -> Any:
    """The same weights in transformers, float32."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=CONFIG.vocab_size, hidden_size=CONFIG.hidden_size,
        intermediate_size=CONFIG.intermediate_size, num_hidden_layers=CONFIG.num_hidden_layers,
        num_attention_heads=CONFIG.num_attention_heads,
        num_key_value_heads=CONFIG.num_key_value_heads, rms_norm_eps=CONFIG.rms_norm_eps,
        rope_theta=CONFIG.rope_theta, max_position_embeddings=CONFIG.max_position_embeddings,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    state = {name: value.detach() for name, value in base.model.state_dict().items()}
    twin = Qwen2ForCausalLM(config)
    twin.load_state_dict(state, strict=False)
    twin.tie_weights()
    return twin.eval()
