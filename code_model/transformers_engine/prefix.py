"""The key/value prefix that a soft prompt becomes, in all forms.

Shapes as in `code_model.prompt_layout`: L layers, G heads, P virtual tokens, D channels, d width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import Cache

from code_model.prompt_layout import rows_to_kv
from code_model.transformers_engine.attention import BesideNope
from code_model.transformers_engine.kv_cache import ReadOnlyLayer, keys_and_values, serving_cache
from code_model.transformers_engine.network import Network
from prompts.form import Form


@dataclass(frozen=True)
class Prefix:
    """Keys and values, (L, G, P, D) each, of virtual tokens.

    With `positions`, they are at the positions 0..P-1 and the text begins at position P. Without,
    all keys but the first meet queries before their rotation, and the text begins at position 1.
    """

    keys: Tensor
    values: Tensor
    positions: bool = True

    @property
    def tokens(self) -> int:
        """The number P of virtual tokens."""
        return self.keys.shape[2]

    @property
    def nope(self) -> int:
        """The number of virtual tokens without positions: all but the first, or none."""
        return 0 if self.positions else max(0, self.tokens - 1)

    def read_only(self, dtype: torch.dtype) -> Cache:
        """A cache that holds the prefix in front of every sequence; differentiable."""
        return Cache(
            layers=[
                ReadOnlyLayer(keys[None].to(dtype), values[None].to(dtype))
                for keys, values in zip(self.keys, self.values, strict=True)
            ]
        )

    def resident(self, dtype: torch.dtype) -> Cache:
        """A cache of one sequence that begins with the prefix."""
        cache = serving_cache(len(self.keys))
        if self.tokens:
            for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
                cache.update(keys[None].to(dtype), values[None].to(dtype), layer)
        return cache

    def attend(self, network: Network, positions: Tensor) -> BesideNope | None:
        """How queries at `positions` (T) attend; None: as the model does by itself."""
        return BesideNope(self.nope, *network.rotation(positions)) if self.nope else None


def prefix_of(network: Network, prompt_embeddings: Tensor, form: Form) -> Prefix:
    """The prefix of prompt embeddings (P, width), differentiable in them."""
    if torch.is_grad_enabled() and prompt_embeddings.requires_grad:
        network.keep_differentiable()
    on_device = prompt_embeddings.to(network.device)
    if form == "embedding":
        return _prefix_of_embeddings(network, on_device)
    shape = network.shape
    kv = rows_to_kv(on_device, shape.layers, shape.heads, shape.key_size)
    return Prefix(kv[:, 0], kv[:, 1], positions=form == "kv")


def prefix_of_ids(network: Network, ids: list[int]) -> Prefix:
    """The prefix that tokens are, at the positions 0..P-1."""
    return _prefix_of_embeddings(network, network.embed(torch.tensor(ids, dtype=torch.long)))


def _prefix_of_embeddings(network: Network, embeddings: Tensor) -> Prefix:
    """Keys and values of input embeddings (P, d) at the positions 0..P-1."""
    shape = network.shape
    if not len(embeddings):
        sizes = (shape.key_size, shape.value_size)
        keys, values = (
            torch.zeros(shape.layers, shape.heads, 0, size, device=network.device) for size in sizes
        )
        return Prefix(keys, values)
    cache = network.new_cache()
    positions = torch.arange(len(embeddings), device=network.device)
    network.hidden(positions, cache, embeddings=embeddings[None].to(network.dtype))
    layers = keys_and_values(cache)
    return Prefix(
        torch.cat([keys for keys, _ in layers]), torch.cat([values for _, values in layers])
    )
