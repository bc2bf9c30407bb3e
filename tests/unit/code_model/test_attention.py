"""The kind of attention, for the configurations that transformers gives real architectures."""

import pytest
from transformers import CONFIG_MAPPING

from code_model.attention import attention_kind, why_not_served

KINDS = {
    "llama": "full",
    "qwen2": "full",
    "qwen3": "full",
    "starcoder2": "full",
    "gemma": "full",
    "mistral": "sliding",
    "gemma3_text": "hybrid",
    "cohere2": "hybrid",
    "granite_swa": "hybrid",
    "qwen3_next": "hybrid",
    "falcon_h1": "hybrid",
    "jamba": "hybrid",
    "mamba": "recurrent",
}


@pytest.mark.parametrize("model_type", KINDS)
def test_real_architectures(model_type: str) -> None:
    config = CONFIG_MAPPING[model_type]().to_dict()
    assert attention_kind(config) == KINDS[model_type]
    assert (why_not_served(config) is None) == (KINDS[model_type] == "full")


def test_a_window_counts_only_where_it_is_switched_on() -> None:
    config = {"model_type": "qwen2", "sliding_window": 64, "max_position_embeddings": 4096}
    assert attention_kind(config) == "full"
    switched_on = config | {"use_sliding_window": True}
    assert attention_kind(switched_on) == "sliding"
    assert "see 64 tokens only" in (why_not_served(switched_on) or "")
    assert attention_kind(switched_on | {"sliding_window": 4096}) == "full"  # it sees everything


def test_recurrent_layers_are_refused_for_another_reason() -> None:
    config = CONFIG_MAPPING["qwen3_next"]().to_dict()
    assert "recurrent layers" in (why_not_served(config) or "")
