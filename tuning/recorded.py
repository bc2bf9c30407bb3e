"""The recipe that a prompt file records of its own run, so that the run can be repeated.

The same class writes and reads the record. A file from elsewhere may say anything: what is missing
or out of bounds is refused, because a guessed split would measure a prompt on files that it has
learnt, and a guessed recipe would audit another one.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from prompts.manifest import MAX_VIRTUAL_TOKENS, Manifest
from prompts.strict_json import JSON
from tuning.config import MAX_SEED, Task, TuningConfig
from tuning.corpus import CorpusError, SourceFile
from tuning.split import Split, digest

MAX_FILES = 4096
MAX_STEPS = 1_000_000

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=4096)]
Tokens = Annotated[int, Field(ge=16, le=4096)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Digests = Annotated[tuple[Digest, ...], Field(min_length=1, max_length=MAX_FILES)]


@dataclass(frozen=True)
class RecordedRecipe:
    """The fields of `TuningConfig` that the manifest does not hold elsewhere, and facts of the run.

    `num_virtual_tokens` counts those that were tuned, before pruning. `steps` is the step whose
    prompt was selected, of the `total_steps` that the schedule was made for. `bfloat16` says in
    which precision it was trained. The files of the two held-out sides are named by
    `tuning.split.digest`.

    Reason for its size: it mirrors the flat recipe.
    """

    num_virtual_tokens: Annotated[int, Field(ge=1, le=MAX_VIRTUAL_TOKENS)]
    keep_ratio: Annotated[float, Field(gt=0, le=1)]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, le=100)]
    ema_power: Annotated[float, Field(ge=0, le=1e6)]
    wise_ft_alpha: Share
    max_grad_norm: Annotated[float, Field(gt=0, le=1e6)]
    examples_per_step: Count
    max_tokens: Tokens
    held_out_tokens: Tokens
    causal_fraction: Share
    context_weight: Share
    retrieved: Share
    n_evaluations: Count
    patience: Count
    validation_holes: Count
    test_holes: Count
    proof_places: Count
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    steps: Annotated[int, Field(ge=0, le=MAX_STEPS)]
    total_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    bfloat16: bool
    validation_files: Digests
    test_files: Digests


RUN_FACTS = ("steps", "total_steps", "bfloat16", "validation_files", "test_files")
"""The fields of `RecordedRecipe` that are not of `TuningConfig`, or mean something else there."""


def record(
    config: TuningConfig, split: Split, *, steps: int, total_steps: int, bfloat16: bool
) -> dict[str, JSON]:
    """The manifest's `recipe` of a run."""
    options = asdict(config)
    names = [field.name for field in fields(RecordedRecipe) if field.name not in RUN_FACTS]
    return {
        **{name: options[name] for name in names},
        "steps": steps,
        "total_steps": total_steps,
        "bfloat16": bfloat16,
        "validation_files": [digest(file.path) for file in split.validation],
        "test_files": [digest(file.path) for file in split.test],
    }


def recorded_recipe(manifest: Manifest) -> RecordedRecipe:
    """Read a prompt's record. Raises `CorpusError` if it is incomplete or out of bounds."""
    try:
        text = json.dumps(manifest.recipe)
        return TypeAdapter(RecordedRecipe).validate_json(text, strict=True)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        raise CorpusError(
            f"Prompt {manifest.name!r} does not record its recipe completely ({field}), so its run "
            "cannot be repeated: an older release or another program made it. Tune it again."
        ) from None


def recorded_config(manifest: Manifest) -> TuningConfig:
    """The configuration of the run that made a prompt. Raises `CorpusError` as `recorded_recipe`.

    Its `steps` are those that the schedule was made for.
    """
    recipe = asdict(recorded_recipe(manifest))
    total_steps = recipe["total_steps"]
    for name in RUN_FACTS:
        del recipe[name]
    return TuningConfig(
        **recipe,
        form=manifest.form,
        steps=total_steps,
        include=manifest.globs,
        task=_task(manifest),
    )


def recorded_split(files: Sequence[SourceFile], manifest: Manifest) -> Split:
    """The prompt's own split again: what it held out stays held out, all else may be tuned on.

    Raises `CorpusError` if a side is empty, and as `recorded_recipe`.
    """
    recipe = recorded_recipe(manifest)
    by_digest = {digest(file.path): file for file in files}
    validation, test = set(recipe.validation_files), set(recipe.test_files)

    def side(digests: Collection[str]) -> tuple[SourceFile, ...]:
        return tuple(file for name, file in by_digest.items() if name in digests)

    split = Split(side(by_digest.keys() - validation - test), side(validation), side(test))
    if not all(split.sizes.values()):
        raise CorpusError(
            "The files that the prompt held out, or all others, are not here; name the repository "
            "that it was tuned on, or tune it again."
        )
    return split


def _task(manifest: Manifest) -> Task:
    if manifest.task in (None, "completion"):
        return "completion"
    if manifest.task == "docstring":
        return "docstring"
    raise CorpusError(
        f"Prompt {manifest.name!r} was tuned for {manifest.task!r}, which this release does not "
        "know; update Attune."
    )
