"""Which architectures this engine can serve: those whose cache can be cut at any prefix."""

from collections import Counter
from collections.abc import Sequence

from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from code_model.language_model import ModelLoadError

NO_CACHE = ("rwkv", "xlstm", "mamba", "mamba2", "falcon_mamba")  # states instead of keys and values


def check_config(config: PreTrainedConfig) -> None:
    """Raise `ModelLoadError` if a soft prompt could not stand in front of this model's text.

    It reads the kinds of layers from the cache that transformers builds for the config.
    """
    decoder = config.get_text_config(decoder=True)
    if config.is_encoder_decoder:
        raise _refused(config, "it has an encoder, so it does not continue a text")
    if decoder.model_type in NO_CACHE:
        raise _refused(config, _reason_for_states("all layers"))
    try:
        layers = DynamicCache(config=decoder).layers
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise _refused(config, "transformers has no cache for its layers") from error
    local = [kind for kind in getattr(decoder, "attention_layers", []) if kind == "local"]
    windows = {
        layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)
    }
    if windows or local:
        count = sum(isinstance(layer, DynamicSlidingWindowLayer) for layer in layers) or len(local)
        window = min(windows or {getattr(decoder, "window_size", 0)})
        raise _refused(
            config,
            f"{count} of its {decoder.num_hidden_layers} layers see only the last {window} tokens "
            "(sliding-window attention), where a soft prompt in front drops out",
        )
    check_cache(config, layers)


def check_cache(config: PreTrainedConfig, layers: Sequence[object]) -> None:
    """As `check_config`, for the layers of a cache that the model has filled."""
    others = Counter(type(layer).__name__ for layer in layers if type(layer) is not DynamicLayer)
    if not others:
        return
    where = f"{others.total()} of its {len(layers)} layers"
    if any("LinearAttention" in name for name in others):
        raise _refused(config, _reason_for_states(where))
    kinds = ", ".join(sorted(others))
    raise _refused(config, f"{where} keep something else than keys and values ({kinds})")


def _reason_for_states(where: str) -> str:
    return (
        f"{where} keep a state instead of keys and values (linear attention or state space), which "
        "cannot be cut back to a prefix"
    )


def _refused(config: PreTrainedConfig, reason: str) -> ModelLoadError:
    return ModelLoadError(
        f"Models of the type {config.model_type} cannot be used: {reason}; choose a model with "
        "full attention in all layers."
    )
