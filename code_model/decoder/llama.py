"""A lean Llama decoder with Hugging Face weight names, for training, tuning and serving alike.

Covers plain-attention decoders of the Llama family: RMSNorm, rotary positions (half-split), SwiGLU,
grouped-query attention, optional biases on query, key and value (Qwen2). Shapes: B batch, T tokens,
P prefix tokens, d hidden size, H query heads, G key/value heads, D head dimension, V vocabulary.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from code_model.block_quantisation import Rounded, Scheme, rounded, scheme_of
from code_model.decoder.kv_cache import PrefixKV
from code_model.decoder.quantised import Quantised, QuantisedEmbedding, QuantisedLinear


class UnsupportedModelError(ValueError):
    """The model's config asks for something this decoder does not compute."""


@dataclass(frozen=True)
class LlamaConfig:
    """The part of a Hugging Face `config.json` that shapes the computation.

    Reason for its size: each attribute is a key of that file.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    attention_bias: bool = False
    tie_word_embeddings: bool = True

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "LlamaConfig":
        """Read a parsed `config.json`.

        Raises `UnsupportedModelError` for an architecture, rotary scaling or attention pattern
        that this decoder does not compute exactly.
        """
        kind = config.get("model_type")
        if kind not in ("llama", "qwen2", "mistral"):
            raise UnsupportedModelError(f"model type {kind!r} is not llama, qwen2 or mistral")
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if rope.get("rope_type", rope.get("type", "default")) != "default":
            raise UnsupportedModelError(f"rotary scaling {rope!r} is not supported")
        if config.get("use_sliding_window") or (kind == "mistral" and config.get("sliding_window")):
            raise UnsupportedModelError("sliding-window attention would not see the soft prompt")
        if config.get("mlp_bias"):
            raise UnsupportedModelError("feed-forward biases are not supported")
        if config.get("hidden_act", "silu") != "silu":
            raise UnsupportedModelError(f"activation {config['hidden_act']!r} is not silu")
        heads = int(config["num_attention_heads"])
        return cls(
            vocab_size=int(config["vocab_size"]),
            hidden_size=int(config["hidden_size"]),
            intermediate_size=int(config["intermediate_size"]),
            num_hidden_layers=int(config["num_hidden_layers"]),
            num_attention_heads=heads,
            num_key_value_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
            max_position_embeddings=int(config.get("max_position_embeddings", 2048)),
            rms_norm_eps=float(config.get("rms_norm_eps", 1e-6)),
            rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
            attention_bias=kind == "qwen2" or bool(config.get("attention_bias")),
            tie_word_embeddings=bool(config.get("tie_word_embeddings")),
        )


def rotary_tables(config: LlamaConfig, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (length, D) each, of arXiv 2104.09864 in the half-split arrangement."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(length).float(), config.rope_theta**-exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn (…, T, D) by the rotary tables (T, D)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def unrotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn (…, T, D) back to what it was before `rotate`."""
    return rotate(x, cos, -sin)


class Linear(nn.Linear):
    """A linear layer without random weights: a checkpoint or `Llama.init_weights` sets them."""

    def reset_parameters(self) -> None:
        """Leave the memory uninitialised, so the system need not commit it yet."""


class Embedding(nn.Embedding):
    """An embedding without random weights, as `Linear`."""

    def reset_parameters(self) -> None:
        """Leave the memory uninitialised."""

    def project(self, hidden: Tensor) -> Tensor:
        """Logits (…, V) of hidden states (…, d), where the head is the embedding."""
        return F.linear(hidden, self.weight)


class RMSNorm(nn.Module):
    """Root-mean-square norm of arXiv 1910.07467."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(…, d), each vector divided by its root mean square and weighted."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    """Causal self-attention over an optional key/value prefix that every position sees."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        bias, d = config.attention_bias, config.hidden_size
        self.q_proj = Linear(d, self.heads * self.head_dim, bias=bias)
        self.k_proj = Linear(d, self.kv_heads * self.head_dim, bias=bias)
        self.v_proj = Linear(d, self.kv_heads * self.head_dim, bias=bias)
        self.o_proj = Linear(self.heads * self.head_dim, d, bias=False)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, D), keys and values (B, G, T, D); queries and keys are rotated."""
        batch, tokens, _ = x.shape
        shape = (batch, tokens, -1, self.head_dim)
        q = self.q_proj(x).view(shape).transpose(1, 2)
        k = self.k_proj(x).view(shape).transpose(1, 2)
        v = self.v_proj(x).view(shape).transpose(1, 2)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, d). Mask None: causal if keys and queries are the same tokens, else all."""
        k, v = self._for_each_head(k), self._for_each_head(v)
        causal = mask is None and q.shape[2] == k.shape[2] and q.shape[2] > 1
        if q.device.type == "cpu":  # there, autocast would make attention slower, not faster
            with torch.autocast("cpu", enabled=False):
                q, k, v = q.float(), k.float(), v.float()
                out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        else:  # rotating leaves queries and keys in float32 under autocast
            q, k = q.to(v.dtype), k.to(v.dtype)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self._projected(out)

    def attend_behind(
        self, kv: Tensor, q: Tensor, k: Tensor, v: Tensor, unrotated: Tensor | None = None
    ) -> Tensor:
        """Causal attention (B, T, d) behind virtual tokens (2, G, P, D), all of which are seen.

        `unrotated` (B, H, T, D) are the queries for all virtual tokens but the first; None: `q`.
        They are why attention is written out; under autocast to bfloat16 it is twice as fast as
        torch's own, else as fast (docs/experiments.md).
        """
        batch, tokens = q.shape[0], q.shape[2]
        every = (batch, -1, -1, -1)
        sink, others = kv[0].tensor_split((1,), dim=1)
        sink_value, other_values = kv[1].tensor_split((1,), dim=1)
        # the sink is handled as one more token of the text
        keys = torch.cat((sink.expand(every), k), dim=2).flatten(0, 1)
        values = torch.cat((other_values.expand(every), sink_value.expand(every), v), dim=2)
        # heads that share keys become one matrix, so no key is repeated
        grouped = (batch, self.kv_heads, -1, self.head_dim)
        q = (q * self.head_dim**-0.5).reshape(grouped)
        prefix_queries = q
        if unrotated is not None:
            prefix_queries = (unrotated * self.head_dim**-0.5).reshape(grouped)
        later = torch.full((tokens, keys.shape[1]), -torch.inf, device=q.device)
        later = later.triu(1 + sink.shape[1]).repeat(self.heads // self.kv_heads, 1)
        text = torch.baddbmm(later.expand(len(keys), -1, -1), q.flatten(0, 1), keys.mT)
        scores = torch.cat((prefix_queries @ others.mT, text.view(*q.shape[:3], -1)), dim=-1)
        with torch.autocast(q.device.type, enabled=False):  # softmax already sums in float32
            shares = scores.softmax(-1)
        return self._projected((shares @ values).view(batch, self.heads, tokens, -1))

    def _for_each_head(self, x: Tensor) -> Tensor:
        """Keys or values (…, G, T, D) repeated for the heads that share them: (…, H, T, D)."""
        if self.heads == self.kv_heads:
            return x
        return x.repeat_interleave(self.heads // self.kv_heads, dim=-3)

    def _projected(self, out: Tensor) -> Tensor:
        batch, _, tokens, _ = out.shape
        projected: Tensor = self.o_proj(out.transpose(1, 2).reshape(batch, tokens, -1))
        return projected


class MLP(nn.Module):
    """SwiGLU feed-forward of arXiv 2002.05202."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        d, width = config.hidden_size, config.intermediate_size
        self.gate_proj = Linear(d, width, bias=False)
        self.up_proj = Linear(d, width, bias=False)
        self.down_proj = Linear(width, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) to (…, d)."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


Attend = Callable[[Attention, Tensor, Tensor, Tensor], Tensor]


class Block(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        """The layer's output (B, T, d) for its input (B, T, d).

        `attend` maps the attention module, queries (B, H, T, D), keys and values (B, G, T, D) to
        (B, T, d). It decides what is seen besides the keys and values of the input.
        """
        attention = self.self_attn
        x = x + attend(attention, *attention.project(self.input_layernorm(x), cos, sin))
        widened: Tensor = self.mlp(self.post_attention_layernorm(x))
        return x + widened


class Decoder(nn.Module):
    """Embeddings, layers and the last norm; named as in Hugging Face checkpoints."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Llama(nn.Module):
    """The causal model. Its weights come from `decoder.loading`, frozen, or from `init_weights`."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        self.cos: Tensor
        self.sin: Tensor
        self.restore_tables()

    def restore_tables(self) -> None:
        """Compute the rotary tables, which are not in checkpoints."""
        with torch.device("cpu"):
            cos, sin = rotary_tables(self.config, self.config.max_position_embeddings)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def init_weights(self, generator: torch.Generator) -> None:
        """Normal(0, 0.02), residual outputs scaled by 1/sqrt(2L) as in GPT-2; biases zero."""
        residual = 0.02 / math.sqrt(2 * self.config.num_hidden_layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                std = residual if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @property
    def quantisation(self) -> Scheme | None:
        """The scheme of the layers' matrices, None for full weights."""
        matrix = self.blocks[0].mlp.down_proj
        return matrix.scheme if isinstance(matrix, Quantised) else None

    @property
    def dtype(self) -> torch.dtype:
        """That of the matrices, as floats."""
        embedding = self.model.embed_tokens
        return torch.float32 if isinstance(embedding, Quantised) else embedding.weight.dtype

    @property
    def num_parameters(self) -> int:
        """The numbers in all weights."""
        quantised = (m.shape.numel() for m in self.modules() if isinstance(m, Quantised))
        return sum(quantised) + sum(parameter.numel() for parameter in self.parameters())

    @property
    def blocks(self) -> list[Block]:
        """The decoder layers, typed."""
        return cast(list[Block], list(self.model.layers))

    def forward(
        self,
        ids: Tensor,
        prefix: PrefixKV | None = None,
        *,
        embeddings: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, d) of `ids` (B, T) behind `prefix`.

        Every token sees the whole prefix. `embeddings` (B, T, d) replace those of `ids`.
        Differentiable in the prefix and in the embeddings.
        """
        x = self.model.embed_tokens(ids) if embeddings is None else embeddings
        start = 0 if prefix is None else prefix.tokens - prefix.nope
        positions = slice(start, start + x.shape[1])
        cos, sin = self.cos[positions], self.sin[positions]
        attend: Attend = partial(Attention.attend, mask=None)
        for index, layer in enumerate(self.blocks):
            if prefix is not None:
                rotation = (cos, sin) if prefix.nope else None
                attend = partial(_behind, prefix.kv[index], rotation)
            x = layer(x, cos, sin, attend)
        normed: Tensor = self.model.norm(x)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits (…, V) of hidden states (…, d)."""
        tied = self.config.tie_word_embeddings
        logits: Tensor = self.model.embed_tokens.project(hidden) if tied else self.lm_head(hidden)
        return logits

    def quantise(self, name: str, matrix: Tensor, scheme: Scheme) -> None:
        """Round `matrix`, the weight `name` of a checkpoint, and put it in its place.

        Its numbers are in int8 for the embedding and the head.
        """
        self.put(name, rounded(matrix, scheme_of(name, scheme)))

    def put(self, name: str, matrix: Rounded) -> None:
        """Put a rounded matrix in the place of the weight `name` of a checkpoint."""
        parent, _, child = name.removesuffix(".weight").rpartition(".")
        module = self.get_submodule(parent)
        replaced = module.get_submodule(child)
        if isinstance(replaced, nn.Embedding):
            setattr(module, child, QuantisedEmbedding(matrix))
        else:
            setattr(module, child, QuantisedLinear(matrix, getattr(replaced, "bias", None)))


def _behind(
    kv: Tensor,
    rotation: tuple[Tensor, Tensor] | None,
    attention: Attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
) -> Tensor:
    """Attention behind virtual tokens (2, G, P, D), without positions if `rotation` is given."""
    unrotated = None if rotation is None else unrotate(q, *rotation)
    return attention.attend_behind(kv, q, k, v, unrotated)


def lower_right_mask(tokens: int, prefix: int, device: torch.device) -> Tensor:
    """Boolean (T, P+T): every query sees the prefix and the tokens up to itself."""
    queries = torch.arange(tokens, device=device)[:, None]
    return torch.arange(prefix + tokens, device=device)[None, :] <= queries + prefix
