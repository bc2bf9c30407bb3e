"""Random models whose sizes no tile, block or vector divides."""

import torch

from code_model.decoder.llama import Llama, LlamaConfig

IDS = [5 + (n * 37) % 290 for n in range(23)]


def random_model(*, heads: int, kv_heads: int, bias: bool, tied: bool, bf16: bool) -> Llama:
    """A frozen model of two layers, for the ids below 301."""
    config = LlamaConfig(
        vocab_size=301, hidden_size=72, intermediate_size=100, num_hidden_layers=2,
        num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=18,
        max_position_embeddings=64, attention_bias=bias, tie_word_embeddings=tied,
    )  # fmt: skip
    model = Llama(config)
    model.init_weights(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6.0).add_(torch.randn_like(parameter) * 0.1)
            if bf16:
                parameter.copy_(parameter.bfloat16())
    return model.requires_grad_(False)
