"""One repository on its way to a prompt: its split, its start, its training, its proof."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from code_context.context import ContextConfig
from code_context.retrieval import Retriever
from code_model.compatibility import context_of
from code_model.language_model import Runtime, TunableModel
from prompts.file import PromptFile, check_compatible, read_prompt, sha256_of
from prompts.manifest import Manifest
from tuning import checkpoint
from tuning.config import Task, TuningConfig
from tuning.corpus import Corpus
from tuning.distributed import ProcessGroup
from tuning.evaluate import Gain, paired_gain, total_nats
from tuning.examples import HeldOutHole, TrainingExamples, held_out_holes, indexed
from tuning.history import changed_since, newest_lines
from tuning.proof import EvaluationCondition, Proof, prove
from tuning.recorded import recorded, recorded_split
from tuning.soft_prompt import SoftPrompt, initial_prompt
from tuning.split import Split, included, split
from tuning.strata import stratum_of
from tuning.train import Resumable, Tuned, train

LEAST_CHARACTERS = 250_000


@dataclass(frozen=True)
class Job:
    """One repository on its way to a prompt: what tuning, proving and writing all need."""

    base: TunableModel
    read: Corpus
    config: TuningConfig
    split: Split
    newest: Mapping[str, set[int]]
    present: PromptFile | None
    lineage: tuple[str, ...]
    context: ContextConfig

    @property
    def room(self) -> int:
        """Tokens of the longest example to measure by: the recipe's, if positions allow."""
        return self.room_for(self.config.held_out_tokens)

    def room_for(self, tokens: int) -> int:
        """At most that many tokens, as the model's positions leave them behind the prompt."""
        left = self.base.max_positions - self.config.num_virtual_tokens
        return min(tokens, left)

    @cached_property
    def examples(self) -> TrainingExamples:
        """What the repository gives to learn from; the start and training draw the same ones."""
        config = self.config
        return TrainingExamples(
            self.base,
            self.split.train,
            config=config,
            room=self.room_for(config.max_tokens),
            changed=_changed(self),
            # of the files to tune on only: what is held out must not be seen before a hole either
            others=indexed(self.split.train) if config.retrieved else None,
            context=self.context,
        )


def _task(manifest: Manifest) -> Task:
    """What a prompt was tuned for; a task of a later Attune is measured as completion."""
    return "docstring" if manifest.task == "docstring" else "completion"


def new_job(base: TunableModel, read: Corpus, config: TuningConfig, present: Path | None) -> Job:
    """Split a repository for a first prompt, or as the `present` one was split, to refresh it.

    Raises `tuning.corpus.CorpusError` for too few files or a prompt that does not say which files
    it held out, and `prompts.errors.IncompatiblePrompt`.
    """
    if present is None:
        newest = newest_lines(read.root, [file.path for file in read.files])
        sides = split(included(read.files, config.include), config.seed, newest)
        return Job(base, read, config, sides, newest, None, (), ContextConfig())
    before = read_prompt(present)
    job = recorded_job(base, read, before.manifest, config)
    return replace(job, present=before, lineage=(*before.manifest.lineage, sha256_of(present)))


def recorded_job(
    base: TunableModel, read: Corpus, manifest: Manifest, config: TuningConfig | None = None
) -> Job:
    """A prompt's own split and measure again, as its file tells them; the rest is of `config`.

    Raises `tuning.corpus.CorpusError` for too few files or a prompt that does not say which files
    it held out, and `prompts.errors.IncompatiblePrompt`.
    """
    check_compatible(manifest, base.identity)
    known = recorded(manifest)
    config = replace(
        config or TuningConfig(),
        form=manifest.form,
        num_virtual_tokens=manifest.num_virtual_tokens,
        held_out_tokens=known.held_out_tokens,
        test_holes=known.test_holes,
        include=manifest.globs,
        task=_task(manifest),
        seed=known.seed,
    )
    sides = recorded_split(included(read.files, manifest.globs), known)
    newest = newest_lines(read.root, [file.path for file in read.files])
    return Job(base, read, config, sides, newest, None, (), context_of(manifest))


def start_of(job: Job, progress: Callable[[float], None]) -> SoftPrompt:
    """What the prompt begins as: what the repository's code asks for, or the present prompt.

    `progress` hears the share done.
    """
    base, config = job.base, job.config
    if job.present is not None:
        return SoftPrompt(torch.from_numpy(job.present.embeddings), config.form)
    return initial_prompt(base, config, job.split.train, job.examples, progress)


def fingerprint_of(job: Job) -> str:
    """What the run depends on: a killed run is taken up only if nothing of it has changed.

    The version is of it, because offsets say nothing behind another start.
    """
    return checkpoint.fingerprint(
        {
            "attune": version("attune"),
            "config": asdict(job.config),
            "model": asdict(job.base.identity),
            "context": asdict(job.context),
            "files": [
                [side, *((file.path, file.text) for file in files)]
                for side, files in vars(job.split).items()
            ],
            "lineage": job.lineage,
        }
    )


def train_job(
    job: Job,
    prompt: SoftPrompt,
    report: Callable[[float, Tuned], None],
    resumable: Resumable | None,
    group: ProcessGroup,
) -> Tuned:
    """Tune `prompt` on the job's files, measured on its validation files.

    Where the recipe learns with retrieved code in front, every other hole is measured so.
    """
    base, config = job.base, job.config
    validation = validation_holes(job)
    measured_by = [
        (row % 2 and hole.retrieved) or hole.example for row, hole in enumerate(validation)
    ]
    bare_prefix = base.bare_prefix()

    without_prompt: dict[Runtime, NDArray[np.float64]] = {}

    def validate(prompt_embeddings: Tensor, model: TunableModel) -> Gain:
        with torch.no_grad():
            prefix = base.prefix_of(prompt_embeddings, config.form)
        nats = total_nats(model.score(prefix, measured_by))
        if model.runtime not in without_prompt:
            without_prompt[model.runtime] = total_nats(model.score(bare_prefix, measured_by))
        return paired_gain(without_prompt[model.runtime], nats, validation, config.seed)

    return train(
        base,
        prompt,
        job.examples,
        validate,
        replace(config, weight_decay=decay_of(job)),
        report,
        resumable=resumable,
        group=group,
    )


def decay_of(job: Job) -> float:
    """The recipe's weight decay for this repository.

    It stands for a prior, which weighs the less the more is known; below `LEAST_CHARACTERS` it
    would leave nothing to learn.
    """
    characters = sum(len(file.text) for file in job.split.train)
    return job.config.weight_decay * 1e6 / max(LEAST_CHARACTERS, characters)


def validation_holes(job: Job) -> list[HeldOutHole]:
    """The holes that the best prompt is chosen by."""
    return held_out_holes(
        job.base,
        job.split.validation,
        config=job.context,
        room=job.room,
        count=job.config.validation_holes,
        seed=job.config.seed,
        task=job.config.task,
        others=indexed(job.read.files) if job.config.retrieved else None,
    )


def _changed(job: Job) -> set[str]:
    """Files to dwell on in a refresh: those that changed since the present prompt was tuned."""
    commit = None if job.present is None else job.present.manifest.commit
    if commit is None:
        return set()
    return set(changed_since(job.read.root, commit) or ())


def holes_of(job: Job, others: Retriever | None = None) -> list[HeldOutHole]:
    """The holes of the proof. Another seed than the validation's, so that nothing is shared."""
    return held_out_holes(
        job.base,
        job.split.test,
        config=job.context,
        room=job.room,
        count=job.config.test_holes,
        seed=job.config.seed + 1,
        task=job.config.task,
        newest=job.newest,
        others=others,
    )


def proof_of(
    job: Job,
    ways: Mapping[str, EvaluationCondition],
    progress: Callable[[float], None],
) -> Proof:
    """Score the ways to serve on the test files; `progress` hears the share done."""
    others = indexed(job.read.files)
    holes = holes_of(job, others)
    sort = stratum_of(job.read.files)
    strata = [sort(hole.file, hole.hole) for hole in holes]
    return prove(holes, strata, ways, job.config.seed, progress, others, job.context)
