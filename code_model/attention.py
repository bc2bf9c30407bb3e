"""Which kind of attention a `config.json` describes, and whether a soft prompt stays visible in it.

A soft prompt stands in front of everything. Sliding-window attention no longer sees it behind the
window, and recurrent layers keep no keys and values that could be put there or cut off.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

AttentionKind = Literal["full", "sliding", "hybrid", "recurrent"]
"""All layers see every token; all see a window; some do; no layer keeps keys and values."""

# transformers' names of layer types (`layer_types` in a configuration)
_FULL: Final = frozenset(("full_attention", "attention", "global_attention"))
_WINDOWED: Final = frozenset(("sliding_attention", "chunked_attention", "local_attention"))

_WINDOW_BY_SWITCH: Final = frozenset(("qwen2", "qwen2_moe", "qwen3", "qwen3_moe"))
"""Model types whose `sliding_window` counts only if `use_sliding_window` is true."""
_RECURRENT: Final = frozenset(("mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma"))
_WINDOWED_TYPES: Final = frozenset(("gemma2", "gemma3_text", "gemma3", "cohere2"))
"""Model types that alternate between a window and full attention, also without `layer_types`."""
_RECURRENT_KEYS: Final = ("mamba_d_state", "mamba_n_heads", "ssm_cfg", "linear_num_key_heads")
"""Keys of configurations in which some layers are recurrent."""


def attention_kind(config: Mapping[str, Any]) -> AttentionKind:
    """The kind of attention that a parsed `config.json` describes."""
    config = config.get("text_config") or config
    model_type = config.get("model_type")
    if model_type in _RECURRENT:
        return "recurrent"
    if any(config.get(key) for key in _RECURRENT_KEYS):
        return "hybrid"
    types = config.get("layer_types") or config.get("layers_block_type")
    window = _window(config)
    if isinstance(types, list) and types:
        kinds = {str(kind) for kind in types}
        if kinds <= _FULL or (window is None and kinds <= _FULL | _WINDOWED):
            return "full"
        return "sliding" if kinds <= _WINDOWED else "hybrid"
    if window is None:
        return "full"
    return "hybrid" if model_type in _WINDOWED_TYPES else "sliding"


def _window(config: Mapping[str, Any]) -> int | None:
    """Tokens that a windowed layer sees, None if that is all of them."""
    window = config.get("sliding_window") or config.get("attention_chunk_size")
    switched_off = config.get("use_sliding_window") is False
    if config.get("model_type") in _WINDOW_BY_SWITCH:
        switched_off = not config.get("use_sliding_window")
    if not isinstance(window, int) or switched_off:
        return None
    positions = config.get("max_position_embeddings")
    return None if isinstance(positions, int) and window >= positions else window


def why_not_served(config: Mapping[str, Any]) -> str | None:
    """Why a soft prompt cannot serve with this attention; None for full attention."""
    kind = attention_kind(config)
    window = _window(config.get("text_config") or config)
    if kind == "full":
        return None
    if kind in ("hybrid", "recurrent") and window is None:
        return (
            "its recurrent layers keep no keys and values of single tokens, so no prompt can stand "
            "in front; choose a model with full attention in all layers"
        )
    return (
        f"its sliding-window layers see {window} tokens only, so a prompt in front of them drops "
        "out of sight; choose a model with full attention in all layers"
    )
