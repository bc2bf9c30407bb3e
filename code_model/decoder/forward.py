"""One forward step of the model over cached keys and values: by torch, or compiled.

torch always works. The compiled step (`code_model.decoder.native`) takes over where a library is
installed, or when one is compiled.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from code_model.cancel import Cancel, StepCancelledError
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.library import compile_library, find_library
from code_model.decoder.llama import Linear, Llama, lower_right_mask, rotate
from code_model.decoder.native import NativeForward
from code_model.decoder.precision import dense
from code_model.decoder.worker_threads import start_until_exit

# Above, the step is bound by arithmetic, and torch's matrix products are faster.
NATIVE_TOKENS = 24

PACKED_AT_ONCE = (
    50_000_000  # parameters; packing more takes long, so `compile` does it in the background
)


class Forward(Protocol):
    """Computes tokens behind a cache."""

    def step(
        self,
        ids: Sequence[int],
        cache: KVCache,
        scored: int,
        cancel: Cancel | None = None,
        allowed: Collection[int] | None = None,
    ) -> tuple[list[int], list[float]]:
        """Compute `ids` behind the cache, which grows by them.

        Returns the most likely id after each of the last `scored` tokens, and its log-probability
        in nats. With `allowed`, only these ids are considered. Raises `ValueError` if the cache or
        the model's positions are too short, and `StepCancelledError` when a layer would begin
        after `cancel` was raised.
        """


class TorchForward:
    """Eager torch with joined projections, whose memory the model's own weights then share."""

    def __init__(self, model: Llama) -> None:
        self.model = model
        attentions = [block.self_attn for block in model.blocks]
        self._qkv = [_projection([a.q_proj, a.k_proj, a.v_proj]) for a in attentions]
        mlps = [block.mlp for block in model.blocks]
        self._gate_up = [_projection([mlp.gate_proj, mlp.up_proj]) for mlp in mlps]

    @torch.inference_mode()
    def step(
        self,
        ids: Sequence[int],
        cache: KVCache,
        scored: int,
        cancel: Cancel | None = None,
        allowed: Collection[int] | None = None,
    ) -> tuple[list[int], list[float]]:
        """See `Forward.step`."""
        embedded = self.model.model.embed_tokens(torch.tensor(ids))
        hidden = self.hidden(embedded, cache, cancel)
        if not scored:
            return [], []
        scores = self.model.logits(hidden[-scored:])
        if allowed is not None:
            permitted = torch.full_like(scores, -torch.inf)
            columns = torch.tensor(sorted(allowed))
            permitted[:, columns] = scores[:, columns]
            scores = permitted
        best, chosen = scores.max(-1)
        return chosen.tolist(), (best - scores.logsumexp(-1)).tolist()

    @torch.inference_mode()
    def hidden(self, embeddings: Tensor, cache: KVCache, cancel: Cancel | None = None) -> Tensor:
        """Hidden states (T, d) of input embeddings (T, d) behind the cache, which grows by T."""
        x, tokens, start = embeddings, len(embeddings), cache.length
        config, end = self.model.config, cache.length + tokens
        if end > min(cache.capacity, config.max_position_embeddings):
            raise ValueError(f"{end} tokens do not fit a cache of {cache.capacity}")
        heads, kv_heads, size = (
            config.num_attention_heads, config.num_key_value_heads, config.head_dim
        )  # fmt: skip
        positions = slice(start - cache.nope, end - cache.nope)
        cos, sin = self.model.cos[positions, None], self.model.sin[positions, None]
        causal = start == 0 and tokens > 1
        mask = None if start == 0 or tokens == 1 else lower_right_mask(tokens, start, x.device)
        for index, block in enumerate(self.model.blocks):
            if cancel is not None and cancel():
                raise StepCancelledError
            normed = block.input_layernorm(x)
            qkv = self._qkv[index](normed).view(tokens, -1, size)
            rotated = rotate(qkv[:, : heads + kv_heads], cos, sin)
            cache.keys[index, :, start:end] = rotated[:, heads:].transpose(0, 1)
            cache.values[index, :, start:end] = qkv[:, heads + kv_heads :].transpose(0, 1)
            q, unrotated = (tensor[:, :heads].transpose(0, 1) for tensor in (rotated, qkv))
            keys, values = (tensor[index, :, :end].float() for tensor in (cache.keys, cache.values))
            if cache.nope:
                attended = _beside_nope(q, unrotated, keys, values, cache.nope, mask)
            else:
                attended = F.scaled_dot_product_attention(
                    q[None], keys[None], values[None],
                    attn_mask=mask, is_causal=causal, enable_gqa=heads != kv_heads,
                )[0]  # fmt: skip
            attended = attended.transpose(0, 1).reshape(tokens, -1)
            x = x + block.self_attn.o_proj(attended)
            gate, up = self._gate_up[index](block.post_attention_layernorm(x)).chunk(2, 1)
            x = x + block.mlp.down_proj(F.silu(gate) * up)
        cache.length = end
        final: Tensor = self.model.model.norm(x)
        return final


class BestForward:
    """The compiled step, if there is one; torch where that is faster.

    Of a quantised model the compiled step computes everything. Only until it is there, or where
    nothing compiles it, torch computes with floats made of the rounded weights.
    """

    def __init__(self, model: Llama) -> None:
        self._torch: TorchForward | None = None
        self.native: NativeForward | None = None
        self._model = model
        # of a quantised model, there is nothing to pack
        at_once = model.quantisation is not None or model.num_parameters <= PACKED_AT_ONCE
        if at_once and (library := find_library()) is not None:
            self.native = NativeForward(model, library.path)
        if self.native is None or model.quantisation is None:
            self._torch = TorchForward(model if model.quantisation is None else dense(model))

    def compile(self) -> None:
        """Compile if necessary and pack the weights in the background; returns at once."""
        if self.native is None:
            start_until_exit(self._compile, "attune-compile")

    def step(
        self,
        ids: Sequence[int],
        cache: KVCache,
        scored: int,
        cancel: Cancel | None = None,
        allowed: Collection[int] | None = None,
    ) -> tuple[list[int], list[float]]:
        """See `Forward.step`."""
        # in this order: `_compile` gives the one before it takes the other
        torch_forward, native = self._torch, self.native
        chosen: Forward | None = native
        if native is None or (torch_forward is not None and len(ids) > NATIVE_TOKENS):
            chosen = torch_forward
        assert chosen is not None  # noqa: S101
        return chosen.step(ids, cache, scored, cancel, allowed)

    def _compile(self, exiting: threading.Event) -> None:
        library = compile_library(exiting)
        if library is not None and not exiting.is_set():
            with suppress(StepCancelledError):
                self.native = NativeForward(self._model, library.path, exiting=exiting)
                if self._model.quantisation is not None:
                    self._torch = None


def _beside_nope(
    q: Tensor, unrotated: Tensor, keys: Tensor, values: Tensor, nope: int, mask: Tensor | None
) -> Tensor:
    """Attention (H, T, D) of queries (H, T, D) over keys and values (G, N, D).

    Keys 1 to `nope` meet unrotated queries. `mask` is (T, N); None: every key is seen.
    """
    heads, tokens, size = q.shape
    by_head = (len(keys), -1, size)  # queries that share a key's head become one matrix
    q, unrotated = (queries.reshape(by_head) * size**-0.5 for queries in (q, unrotated))
    sink, virtual, rest = keys.tensor_split((1, 1 + nope), dim=1)
    weights = q @ rest.mT
    if mask is not None:  # everything that was cached before is seen
        new = weights.view(heads, tokens, -1)[:, :, -tokens:]
        new.masked_fill_(~mask[:, -tokens:], -torch.inf)
    shares = torch.cat((q @ sink.mT, unrotated @ virtual.mT, weights), dim=-1).softmax(-1)
    attended: Tensor = (shares @ values).view(heads, tokens, size)
    return attended


def _projection(layers: list[Linear]) -> Callable[[Tensor], Tensor]:
    """The outputs of linear layers beside each other, by one product."""
    weight = _joined([layer.weight for layer in layers])
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    bias = torch.cat(biases) if biases else None
    return partial(F.linear, weight=weight, bias=bias)


def _joined(parameters: Sequence[Tensor]) -> Tensor:
    """The matrices stacked; the parameters become views of the result, so no memory is doubled."""
    first = parameters[0]
    end, is_adjacent = first.data_ptr(), True
    for parameter in parameters:
        is_adjacent = is_adjacent and parameter.data_ptr() == end and parameter.is_contiguous()
        end = parameter.data_ptr() + parameter.nbytes
    rows = sum(len(parameter) for parameter in parameters)
    if is_adjacent and first.untyped_storage().nbytes() >= rows * first.shape[1] * 4:
        return first.detach().as_strided((rows, first.shape[1]), (first.shape[1], 1))
    joined = torch.cat(list(parameters)).detach()
    start = 0
    for parameter in parameters:
        parameter.data = joined[start : start + len(parameter)]
        start += len(parameter)
    return joined
