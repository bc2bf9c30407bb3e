"""Whether a model can serve a prompt file, and what the file says about serving."""

from typing import Final

from code_context import context_parameters
from code_context.context import ContextConfig
from code_context.context_parameters import ContextParametersError
from code_model.language_model import LanguageModel
from code_model.show_thresholds import ShowThresholds
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile, check_compatible
from prompts.form import Form
from prompts.manifest import Manifest

BEST_FIRST: Final[tuple[Form, ...]] = ("kv-nope", "kv", "embedding")
"""What a form gains with the same recipe falls in this order (docs/experiments.md)."""


def check_prompt(model: LanguageModel, prompt: PromptFile) -> None:
    """Check that `model` can serve `prompt`.

    Raises `prompts.errors.IncompatiblePrompt` if the prompt was tuned for another model, has a form
    that the engine cannot serve or a context that this Attune cannot build, or takes more than half
    of the model's positions.
    """
    manifest = prompt.manifest
    check_compatible(manifest, model.identity)
    if refusal := model.refusal(manifest.form):
        raise IncompatiblePrompt(
            f"Prompt {manifest.name!r} has the form {manifest.form}: {refusal}."
        )
    context_of(manifest)
    if manifest.num_virtual_tokens > model.max_positions // 2:
        raise IncompatiblePrompt(
            f"Prompt {manifest.name!r} takes {manifest.num_virtual_tokens} of the "
            f"{model.max_positions} positions of {model.name}, which leaves too few for code; "
            "tune a shorter one."
        )


def form_to_tune(model: LanguageModel, wanted: Form | None) -> Form:
    """The form to tune for the model that will serve: `wanted`, else the one that gains most.

    Raises `prompts.errors.IncompatiblePrompt` if the model cannot serve it, or none at all.
    """
    served: list[Form] = [form for form in BEST_FIRST if model.refusal(form) is None]
    form = wanted or (served or BEST_FIRST)[0]
    if refusal := model.refusal(form):
        raise IncompatiblePrompt(f"No prompt of the form {form} can serve here: {refusal}.")
    return form


def context_of(manifest: Manifest | None) -> ContextConfig:
    """The context that a prompt was tuned with and must be served with; without one, the default.

    Raises `prompts.errors.IncompatiblePrompt` if this Attune cannot build it.
    """
    if manifest is None:
        return ContextConfig()
    try:
        return context_parameters.from_dict(manifest.context)
    except ContextParametersError as error:
        raise IncompatiblePrompt(
            f"Prompt {manifest.name!r} was tuned with a context that cannot be built here: "
            f"{error}; update Attune or tune it again."
        ) from None


def show_thresholds_of(manifest: Manifest | None, bare: ShowThresholds) -> ShowThresholds:
    """Those that were calibrated with the prompt, else those of the `bare` model."""
    if manifest is None:
        return bare
    return ShowThresholds.from_dict(manifest.measured.get("show_thresholds")) or bare
