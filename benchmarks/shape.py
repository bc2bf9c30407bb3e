"""Models of other shapes with random weights, and copies in other precisions, to measure speed."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from code_model.block_quantisation import Scheme
from code_model.cancel import Cancel
from code_model.decoder import native
from code_model.decoder.forward import BestForward
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.library import compile_library
from code_model.decoder.llama import Llama, LlamaConfig
from code_model.decoder.model import DecoderModel
from code_model.decoder.quantised import dense_state

CONFIG = LlamaConfig(
    vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
    num_attention_heads=14, num_key_value_heads=2, head_dim=64, max_position_embeddings=32_768,
    rms_norm_eps=1e-6, rope_theta=1_000_000.0, attention_bias=True, tie_word_embeddings=True,
)  # fmt: skip
"""The shape of Qwen2.5-Coder-0.5B."""
SMALLER = LlamaConfig(
    vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
    num_attention_heads=9, num_key_value_heads=3, head_dim=64, max_position_embeddings=8192,
    rope_theta=100_000.0, tie_word_embeddings=True,
)  # fmt: skip
"""The shape of SmolLM2-135M."""


def random_model(like: DecoderModel, config: LlamaConfig | None = None) -> DecoderModel:
    """Random weights that bfloat16 holds exactly, with the tokenizer and template of `like`."""
    llama = Llama(config or CONFIG)
    llama.init_weights(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in llama.parameters():
            parameter.copy_(parameter.bfloat16())
    return DecoderModel(
        name="random",
        folder=Path(),
        llama=llama.requires_grad_(False).eval(),
        tokenizer=like.tokenizer,
        encoder=like.encoder,
        model_fingerprint="0" * 64,
        tokenizer_fingerprint="0" * 64,
    )


def unrounded(model: DecoderModel) -> DecoderModel:
    """A copy with weights that bfloat16 holds, as of a model that nobody has rounded to 8 bits."""
    llama = Llama(model.llama.config)
    llama.load_state_dict(
        {name: tensor.bfloat16() for name, tensor in dense_state(model.llama).items()}
    )
    return replace(model, llama=llama.requires_grad_(False).eval())


def quantised(model: DecoderModel, scheme: Scheme) -> DecoderModel:
    """A copy with rounded weights."""
    llama = Llama(model.llama.config)
    weights = dense_state(model.llama)
    for name in (name for name, tensor in weights.items() if tensor.ndim == 2):
        llama.quantise(name, weights[name], scheme)
    llama.load_state_dict(weights, strict=False)
    return replace(model, llama=llama.requires_grad_(False).eval())


class SlowedForward:
    """The steps of one model, each of which computes a larger model's step first.

    Random weights hardly ever end a line and repeat nothing, so the larger model's output is
    dropped. Its cache has the same length, and a cancel ends its step at the next layer.
    """

    def __init__(self, answers: BestForward, large: DecoderModel, capacity: int) -> None:
        self._answers = answers
        self._large = large
        self._cache = KVCache(large.llama.config, capacity)
        # swapped-out sequences that come back were never computed in this cache
        self._cache.keys.zero_()
        self._cache.values.zero_()

    def step(
        self,
        ids: Sequence[int],
        cache: KVCache,
        scored: int,
        cancel: Cancel | None = None,
        allowed: Collection[int] | None = None,
    ) -> tuple[list[int], list[float]]:
        """See `code_model.decoder.forward.BestForward.step`."""
        self._cache.length = cache.length
        self._large.forward.step(ids, self._cache, scored, cancel, allowed)
        return self._answers.step(ids, cache, scored, cancel, allowed)


def slowed(model: DecoderModel, config: LlamaConfig | None = None) -> DecoderModel:
    """`model` at the speed of the large shape. Raises `SystemExit` without a compiler."""
    library = compile_library()
    if library is None:
        raise SystemExit("This measures the compiled step, which needs a C++ compiler.")
    large, other = random_model(model, config), replace(model)
    large.forward.native = native.NativeForward(large.llama, library.path)
    answers = BestForward(model.llama)
    answers.native = native.NativeForward(model.llama, library.path)
    # in place of the cached property
    vars(other)["forward"] = SlowedForward(answers, large, model.max_positions)
    return other


def transformers_twin(model: DecoderModel) -> Any:
    """The same weights in transformers, float32."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape = model.llama.config
    config: Any = Qwen2Config(  # type: ignore[call-arg]  # transformers types no keyword of its base
        vocab_size=shape.vocab_size, hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size, num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads, rms_norm_eps=shape.rms_norm_eps,
        rope_theta=shape.rope_theta, max_position_embeddings=shape.max_position_embeddings,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    state = {name: value.detach() for name, value in model.llama.state_dict().items()}
    twin = Qwen2ForCausalLM(config)
    twin.load_state_dict(state, strict=False)
    twin.tie_weights()
    return twin.eval()
