"""Prompts that benchmarks tune: without a proof, and kept in a cache."""

from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from code_model.language_model import LanguageModel, TunableModel
from prompts.file import SUFFIX, PromptFile, read_prompt, write_prompt
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.job import new_job
from tuning.progress import INITIALISE, Progress
from tuning.publish import prompt_file
from tuning.run import TuningRun


def with_cross_entropy(model: TunableModel) -> TunableModel:
    """The model with its own loss."""
    return model


def tuned_prompt(
    model: TunableModel,
    folder: Path,
    config: TuningConfig,
    cache: Path,
    served: LanguageModel | None = None,
    objective: Callable[[TunableModel], Any] = with_cross_entropy,
) -> PromptFile:
    """The prompt of a repository, tuned unless it is in `cache`; a killed run goes on there.

    The cache has prompts before they are pruned. They have no show thresholds of their own: those
    of the model apply. `objective` makes of the model one with another loss.
    """
    unpruned = replace(config, keep_ratio=1.0)
    key = f"{asdict(unpruned)} {model.identity} {model.runtime} {objective.__name__}"
    name = f"{folder.name}-{sha256(key.encode()).hexdigest()[:16]}{SUFFIX}"
    out = cache / "prompts" / name
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        on_progress = _Progress(folder.name)
        run = TuningRun.prepare(
            model, collect(folder), out, unpruned, on_progress, (), None, served or model
        )
        start = run.initialise()
        trained = replace(run, job=replace(run.job, model=objective(model)))
        state = trained.train(start, fresh=False)
        write_prompt(out, prompt_file(run.job, state.prompt_embeddings, state, {}))
        run.clean_up(state)
    whole = read_prompt(out, model.identity)
    job = new_job(model, collect(folder), config)
    kept = job.pruned(torch.from_numpy(whole.embeddings))
    manifest = replace(whole.manifest, num_virtual_tokens=len(kept))
    return PromptFile(manifest, kept.numpy())


class _Progress:
    """Says on stderr how far a run is, after each evaluation."""

    def __init__(self, name: str) -> None:
        self._name, self._evaluations = name, -1
        self._console = Console(stderr=True)

    def __call__(self, progress: Progress) -> None:
        if progress.phase == INITIALISE or progress.selected is None:
            return
        if len(progress.evaluations) == self._evaluations:
            return
        self._evaluations = len(progress.evaluations)
        saved = progress.selected.gain.mean
        self._console.print(
            f"{self._name}: step {progress.steps}, {progress.seconds:.0f} s, "
            f"saves {saved:.1%} of the bits of the validation files",
            highlight=False,
        )
