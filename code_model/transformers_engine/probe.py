"""What a loaded model can do, by trying: cut its cache, take keys and values, turn queries back."""

import contextlib
import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from code_model.language_model import ModelLoadError
from code_model.transformers_engine import attention
from code_model.transformers_engine.architecture import check_cache
from code_model.transformers_engine.kv_cache import keys_and_values
from code_model.transformers_engine.network import CacheShape, Network
from prompts.form import Form

KEPT, OTHER, WANTED = (1,), (2, 3), (4, 5)  # ids: before the cut, dropped, and in their place
POSITION = 7  # of the query that is turned back
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}  # relative
INT8_TOLERANCE = 0.2
"""LLM.int8() keeps those channels in 16 bits that are large in any token of a pass, so a token
depends on its company: by 0.05 in the shipped model, where a cache of another text is 0.8 away."""


@torch.inference_mode()
def probe(
    causal: PreTrainedModel, quantisation: str | None = None
) -> tuple[Network, Sequence[Form]]:
    """The model, ready to be computed, and the forms that it can serve.

    Raises `ModelLoadError` if it keeps something else than keys and values, or if tokens behind a
    cut cache are computed otherwise than in one forward pass.
    """
    model_type = causal.config.model_type
    if "position_ids" not in inspect.signature(causal.base_model.forward).parameters:
        raise ModelLoadError(
            f"Models of the type {model_type} cannot be used: transformers computes them without "
            "explicit positions; choose another model."
        )
    cache = DynamicCache(config=causal.config)
    ids = torch.tensor([[*KEPT, *OTHER], [*KEPT, *WANTED]], device=causal.device)
    positions = torch.arange(ids.shape[1], device=causal.device)
    network = Network(causal, CacheShape(0, 0, 0, 0), attends=False)
    whole = network.hidden(positions, cache, ids=ids)[1, -1]
    check_cache(causal.config, cache.layers)
    shape = _shape(model_type, cache)
    cache.batch_select_indices(torch.tensor([0], device=causal.device))
    cache.crop(-len(OTHER))
    cut = network.hidden(positions[len(KEPT) :], cache, ids=ids[1:, len(KEPT) :])[0, -1]
    if not _near(cut, whole, INT8_TOLERANCE if quantisation == "int8" else 0.0):
        raise ModelLoadError(
            f"Models of the type {model_type} cannot be used: a text behind a cut cache is "
            "computed otherwise than in one pass; choose another model."
        )
    attends, turns_back = _attention(causal, shape)
    network = Network(causal, shape, attends=attends)
    if shape.key_size != shape.value_size:  # PEFT's layout has one size for both
        return network, ("embedding",)
    return network, ("kv", "kv-nope", "embedding") if turns_back else ("kv", "embedding")


def _attention(causal: PreTrainedModel, shape: CacheShape) -> tuple[bool, bool]:
    """Whether the engine can attend itself, and whether queries turned back are exact.

    A single token attends to itself alone, so nothing but the rotation of its query depends on its
    position: turned back, the query is that of the position 0. That fails for learned positions,
    for interleaved or scaled rotations, and where the engine does not know the rotation.
    """
    before = causal.config._attn_implementation
    if before != "sdpa":
        return False, False
    causal.config._attn_implementation = attention.NAME
    network = Network(causal, shape, attends=True)
    positions = torch.tensor([[0], [POSITION]], device=network.device)
    queries = list[Tensor]()

    def record(
        layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float
    ) -> Tensor:
        queries.append(q)
        return v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)

    ids = torch.full((2, 1), WANTED[0], device=network.device)
    with contextlib.suppress(TypeError, RuntimeError, attention.UnsupportedAttentionError):
        network.hidden(positions, None, ids=ids, attend=record)
    if len(queries) != shape.layers:
        causal.config._attn_implementation = before
        return False, False
    try:
        rotation = network.rotation(positions)
    except (AttributeError, TypeError):
        return True, False
    return True, all(_near(attention.unrotate(q, *rotation)[1], q[0]) for q in queries)


def _shape(model_type: str, cache: DynamicCache) -> CacheShape:
    shapes = {
        (keys.shape[1], keys.shape[3], values.shape[3]) for keys, values in keys_and_values(cache)
    }
    if len(shapes) != 1:
        raise ModelLoadError(
            f"Models of the type {model_type} cannot be used: their layers have keys and values of "
            "different shapes, for which there is no soft prompt; choose another model."
        )
    ((heads, key_size, value_size),) = shapes
    return CacheShape(len(cache.layers), heads, key_size, value_size)


def _near(actual: Tensor, expected: Tensor, tolerance: float = 0.0) -> bool:
    """Whether two tensors are equal, but for the rounding of their precision, or `tolerance`."""
    distance = (actual.float() - expected.float()).norm()
    allowed = max(tolerance, TOLERANCE[expected.dtype])
    return bool(distance <= allowed * expected.float().norm())
