"""A model of Qwen2.5-Coder-0.5B's shape with random weights: its speed, without its knowledge."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from code_model.cancel import Cancel
from code_model.decoder import compiler, native
from code_model.decoder.forward import BestForward, Forward
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.llama import Llama, LlamaConfig
from code_model.decoder.model import DecoderModel

CONFIG = LlamaConfig(
    vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
    num_attention_heads=14, num_key_value_heads=2, head_dim=64, max_position_embeddings=32_768,
    rms_norm_eps=1e-6, rope_theta=1_000_000.0, attention_bias=True, tie_word_embeddings=True,
)  # fmt: skip


def random_base(like: DecoderModel) -> DecoderModel:
    """Weights that bfloat16 holds, as published ones are; layout and tokenizer of `like`."""
    model = Llama(CONFIG)
    generator = torch.Generator().manual_seed(0)
    model.init_weights(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    return DecoderModel(
        name="0.5B shape",
        folder=Path(),
        llama=model.requires_grad_(False).eval(),
        tokenizer=like.tokenizer,
        encoder=like.encoder,
        model_fingerprint="0" * 64,
        tokenizer_fingerprint="0" * 64,
    )


class SpokenFor:
    """A model's steps, each taking the time of the large one's, which computes it too.

    What the large one says is thrown away, for random weights hardly ever end a line, and repeat
    nothing. Its cache is as long as the other's, and its cancel ends a step at its next layer.
    """

    def __init__(self, speaks: Forward, computes: DecoderModel, capacity: int) -> None:
        self._speaks = speaks
        self._computes = computes
        self._cache = KVCache(CONFIG, capacity)
        self._cache.keys.zero_()  # what another cache brings back was not computed here
        self._cache.values.zero_()

    def step(
        self, ids: Sequence[int], cache: KVCache, scored: int, cancel: Cancel | None = None
    ) -> tuple[list[int], list[float]]:
        """See `code_model.decoder.forward.Forward.step`."""
        self._cache.length = cache.length
        self._computes.forward.step(ids, self._cache, scored, cancel)
        return self._speaks.step(ids, cache, scored, cancel)


def spoken_for(base: DecoderModel) -> DecoderModel:
    """`base`, as slow as the large shape. Raises `SystemExit` without a compiler."""
    library = compiler.compile_library()
    if library is None:
        raise SystemExit("This measures the compiled step, which needs a C++ compiler.")
    large, other = random_base(base), replace(base)
    large.forward.native = native.NativeForward(large.llama, library)
    speaks = BestForward(base.llama)
    speaks.native = native.NativeForward(base.llama, library)
    capacity = base.llama.config.max_position_embeddings
    vars(other)["forward"] = SpokenFor(speaks, large, capacity)  # in place of the cached property
    return other


def transformers_twin(base: DecoderModel) -> Any:
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
    state = {name: value.detach() for name, value in base.llama.state_dict().items()}
    twin = Qwen2ForCausalLM(config)
    twin.load_state_dict(state, strict=False)
    twin.tie_weights()
    return twin.eval()
