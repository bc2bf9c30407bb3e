"""Writing the prompt of a run: its manifest, and checks before time is spent on it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from torch import Tensor

from code_context import context_parameters
from code_context.languages import language_of
from prompts.errors import PromptWriteError
from prompts.file import SUFFIX, PromptFile
from prompts.manifest import Manifest, layout_with
from tuning.evaluate import Gain
from tuning.history import commit_of
from tuning.job import Job
from tuning.recorded import record
from tuning.train import TrainingState

# What a run may have on disk at once, in sizes of its prompt embeddings: the prompt, and two
# checkpoints of offsets, their two moments and the selected embeddings.
TENSORS_ON_DISK = 9


def prompt_file(
    job: Job, prompt_embeddings: Tensor, state: TrainingState, measured: dict[str, Any]
) -> PromptFile:
    """The prompt file of a job and what training made of it."""
    config, name = job.config, job.corpus.root.name
    context = context_parameters.to_dict(job.context)
    layout = layout_with(job.model.identity.layout_fingerprint, context)
    languages = {key for file in job.corpus.files if (key := language_of(file.path))}
    manifest = Manifest(
        name=name or "repository",
        form=config.form,
        num_virtual_tokens=len(prompt_embeddings),
        model=replace(job.model.identity, layout_fingerprint=layout),
        languages=tuple(sorted(languages)),
        repository=name,
        commit=commit_of(job.corpus.root),
        recipe=record(
            config,
            job.split,
            steps=state.selected.step,
            total_steps=config.steps or state.total_steps,
            bfloat16=state.bfloat16,
        ),
        measured=measured,
        lineage=job.lineage,
        task=None if config.task == "completion" else config.task,
        globs=config.include,
        context=context,
        attune_version=version("attune"),
    )
    return PromptFile(manifest, prompt_embeddings.contiguous().numpy())


def measured_by_validation(gain: Gain) -> dict[str, Any]:
    """What an interrupted run claims: the gain on the validation files, which selected it."""
    return {**gain.to_json(), "interrupted": True}


def check_free_space(folder: Path, prompt_embeddings: Tensor) -> None:
    """Raise `PromptWriteError` if `folder` has no room for a run's files."""
    needed = TENSORS_ON_DISK * prompt_embeddings.nbytes
    present = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(present).free
    if free < needed:
        raise PromptWriteError(
            f"{folder} has {free / 1e6:.1f} MB of free space, and a prompt with the state of its "
            f"tuning needs {needed / 1e6:.1f} MB; make room, or choose another place with --out."
        )


@contextmanager
def writable(target: Path) -> Iterator[None]:
    """Raise `PromptWriteError` if `target` cannot be written; on exit, leave no empty folder."""
    if not target.name.endswith(SUFFIX):
        raise PromptWriteError(
            f"{target.name} does not end with {SUFFIX}; give the prompt file such a name."
        )
    if target.is_dir():
        raise PromptWriteError(f"{target} is a folder; name a file with --out.")
    missing = [folder for folder in (target.parent, *target.parents) if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise PromptWriteError(
            f"{target.parent} cannot be written ({error.strerror}); "
            "choose another place with --out."
        ) from error
    try:
        yield
    finally:
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
