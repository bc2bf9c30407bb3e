"""One frozen causal LM of transformers: hidden states over explicit positions, and logits.

Shapes: B batch, T tokens, d width, V vocabulary.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import MoeModelOutputWithPast

from code_model.transformers_engine.attention import Attend

PACKS: Final = "support_avx512bf16_for_cpu"  # of bitsandbytes.nn.Linear4bit


@dataclass(frozen=True)
class CacheShape:
    """Of keys and values: layers, heads, and the channels of a key and of a value."""

    layers: int
    heads: int
    key_size: int
    value_size: int


class Network:
    """A causal LM whose weights never change. All its calls give positions and cache themselves.

    An attention mask is never given: the cache knows what is in front, and padding stands behind
    the tokens, which do not see it. `attends` says whether the engine can compute attention itself
    (`attention.Attend`).
    """

    def __init__(self, causal: PreTrainedModel, shape: CacheShape, *, attends: bool) -> None:
        self.causal = causal
        self.shape = shape
        self.attends = attends
        self._stack: Any = causal.base_model
        self._embeddings: Any = causal.get_input_embeddings()
        self._head = _head_of(causal)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        device: torch.device = self.causal.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The type that hidden states, keys and values have."""
        dtype: torch.dtype = self._embeddings.weight.dtype
        return dtype

    @property
    def vocab_size(self) -> int:
        """How many tokens have an embedding."""
        return int(self._embeddings.num_embeddings)

    @property
    def width(self) -> int:
        """The number d of channels of an input embedding."""
        return int(self._embeddings.embedding_dim)

    @cached_property
    def num_parameters(self) -> int:
        """How many weights it has, counted before quantisation."""
        return int(self.causal.num_parameters())

    def new_cache(self) -> Cache:
        """An empty cache that keeps what was computed with gradients."""
        return DynamicCache(config=self.causal.config)

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings (…, d) of ids (…)."""
        embedded: Tensor = self._embeddings(ids.to(self.device))
        return embedded

    def hidden(
        self,
        positions: Tensor,
        cache: Cache | None,
        *,
        ids: Tensor | None = None,
        embeddings: Tensor | None = None,
        attend: Attend | None = None,
    ) -> Tensor:
        """Hidden states (B, T, d) of `ids` (B, T) or `embeddings` (B, T, d) behind the cache.

        `positions` (T) or (B, T). The cache grows by T.
        """
        given = {"input_ids": ids} if embeddings is None else {"inputs_embeds": embeddings}
        others: dict[str, Any] = {} if attend is None else {"attune_attend": attend}
        output = self._stack(
            **given,
            position_ids=positions if positions.ndim == 2 else positions[None],
            past_key_values=cache,
            use_cache=cache is not None,
            **others,
        )
        hidden: Tensor = output[0]
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits (M, V) of hidden states (M, d)."""
        logits: Tensor = self._head(inputs_embeds=hidden[None]).logits
        return logits[0]

    def rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (1, T, D) each or of the rotated part, at positions (T).

        Raises `AttributeError` if the model has no rotary positions of the usual kind.
        """
        probe = torch.empty(0, device=self.device, dtype=torch.float32)
        cos, sin = self._stack.rotary_emb(
            probe, positions if positions.ndim == 2 else positions[None]
        )
        return cos, sin

    def with_causal(self, causal: PreTrainedModel) -> "Network":
        """The same architecture with other weights."""
        return Network(causal, self.shape, attends=self.attends)

    def keep_differentiable(self) -> None:
        """Make gradients possible, from now on.

        bitsandbytes packs 4-bit weights for the kernels of some CPUs when they are first used
        without a gradient, and those kernels have none.
        """
        packing = [m for m in self.causal.modules() if getattr(m, PACKS, False)]
        if packing:
            self.causal.state_dict()  # unpacks
        for module in packing:
            setattr(module, PACKS, False)

    @contextmanager
    def recomputing(self) -> Iterator[None]:
        """Keep only the layers' inputs for the backward pass, and compute the rest again.

        transformers' own switch needs the model in training mode, with dropout.
        """
        layers = [m for m in self._stack.modules() if isinstance(m, GradientCheckpointingLayer)]
        for layer in layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward


@dataclass
class _Output(MoeModelOutputWithPast):
    """What a head may read of the layers' output."""

    cross_attentions: None = None


class _GivenHiddenStates(nn.Module):
    """Stands for the layers: its output is its input."""

    def forward(self, *args: Any, inputs_embeds: Tensor, **kwargs: Any) -> _Output:
        return _Output(last_hidden_state=inputs_embeds)


def _head_of(causal: PreTrainedModel) -> Any:
    """The model without its layers: what follows them, with all scalings of the logits."""
    head = copy.copy(causal)  # shares the weights
    head.__dict__["_modules"] = {
        **causal._modules, causal.base_model_prefix: _GivenHiddenStates()
    }  # fmt: skip
    return head
