"""A prompt is refused for another model, with a sentence that says what to do."""

import dataclasses

import pytest

from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile, check_compatible
from prompts.manifest import layout_with


def test_check_compatible_accepts_its_own_model(kv_prompt: PromptFile) -> None:
    """The model's name is for people: a renamed copy still fits."""
    model = kv_prompt.manifest.model
    check_compatible(kv_prompt.manifest, model)
    check_compatible(kv_prompt.manifest, dataclasses.replace(model, name="a copy"))


def test_check_compatible_counts_the_parameters_of_the_context(kv_prompt: PromptFile) -> None:
    """The layout of a prompt is the model's with the context that the prompt was tuned with."""
    model, context = kv_prompt.manifest.model, {"window": 3}
    tuned = dataclasses.replace(
        model, layout_fingerprint=layout_with(model.layout_fingerprint, context)
    )
    check_compatible(dataclasses.replace(kv_prompt.manifest, model=tuned, context=context), model)
    with pytest.raises(IncompatiblePrompt, match="different layout"):
        check_compatible(dataclasses.replace(kv_prompt.manifest, model=tuned), model)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"name": "other", "model_fingerprint": "ff" * 32},
            "Prompt 'example' does not fit model 'other' (ffffffff): different model;"
            " start Attune with model 'example/tiny-coder' (1a1a1a1a) or tune again with this"
            " model.",
        ),
        ({"tokenizer_fingerprint": "ff" * 32}, ": different tokenizer; start Attune with model "),
        (
            {"layout_fingerprint": "ff" * 32},
            ": different layout; it was tuned with Attune 0.1.0, so tune it again.",
        ),
        ({"head_dim": 3}, ": different shape; start Attune with model "),
        ({"num_layers": 3}, ": different shape; "),
        ({"num_key_value_heads": 3}, ": different shape; "),
        ({"hidden_size": 3}, ": different shape; "),
        (
            {"model_fingerprint": "ff" * 32, "layout_fingerprint": "ff" * 32, "hidden_size": 3},
            ": different model and layout and shape; start Attune with model ",
        ),
    ],
)
def test_check_compatible_names_what_differs(
    kv_prompt: PromptFile, changes: dict[str, object], sentence: str
) -> None:
    """One sentence: what differs, and the way out."""
    loaded = dataclasses.replace(kv_prompt.manifest.model, **changes)  # type: ignore[arg-type]
    with pytest.raises(IncompatiblePrompt) as caught:
        check_compatible(kv_prompt.manifest, loaded)
    assert sentence in str(caught.value)
