"""The whole of `attune tune`: read, split, tune, prove, write; and `attune eval`: prove again."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from code_context.context import ContextConfig
from code_context.retrieval import Repository
from code_model.engine import Engine
from code_model.loading import BaseModel
from code_model.soft_prompt import prefix_kv
from prompts.errors import PromptWriteError
from prompts.file import DEFAULT_PROMPT, SUFFIX, PromptFile, read_prompt, sha256_of, write_prompt
from prompts.manifest import Manifest
from prompts.repository import unproven_path
from tuning import checkpoint, generic
from tuning.config import Task, TuningConfig
from tuning.corpus import Corpus
from tuning.distributed import Group, joined
from tuning.evaluate import Gain, middle_nats, paired_gain
from tuning.examples import HeldOutHole, TrainingExamples, held_out_holes, indexed
from tuning.history import changed_since, commit_of, newest_lines
from tuning.objective import Teacher
from tuning.prefix import FORMS, Prefix, initial_ids, initial_prefix
from tuning.proof import (
    BOTH,
    NO_PROMPT,
    OTHER,
    PRESENT,
    RETRIEVAL,
    THIS_PROMPT,
    UNTRAINED,
    Proof,
    Way,
    prove,
)
from tuning.recorded import Recorded, recorded, recorded_split, recorded_test
from tuning.split import Split, digest, included, split
from tuning.strata import stratum_of
from tuning.threshold import calibrated
from tuning.train import Check, Resumable, Tuned, train


@dataclass(frozen=True)
class Look:
    """How far a run is: phase in words, share of it done (0 to 1), and what training saw so far."""

    phase: str
    fraction: float
    steps: int = 0
    seconds: float = 0.0
    checks: tuple[Check, ...] = ()


Progress = Callable[[Look], None]


@dataclass(frozen=True)
class Report:
    """What a run found. `proof` is None when Ctrl-C came before it; `written` when nothing was."""

    repository: str
    files: dict[str, int]
    left_out: dict[str, int]
    steps: int
    seconds: float
    interrupted: bool
    checks: tuple[Check, ...]
    proof: Proof | None
    proven: bool
    written: Path | None
    resumable: bool = False

    def to_json(self) -> dict[str, Any]:
        """The figures, without samples of code."""
        return {
            "repository": self.repository,
            "files": self.files,
            "left_out": self.left_out,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "interrupted": self.interrupted,
            "validation": [
                {**one, "seconds": round(check.seconds, 1)}
                for one, check in zip(_curve(self.checks), self.checks, strict=True)
            ],
            "proof": None if self.proof is None else self.proof.to_json(),
            "proven": self.proven,
            "written": None if self.written is None else str(self.written),
        }


@dataclass(frozen=True)
class _Job:
    """One repository on its way to a prompt: what tuning, proving and writing all need."""

    base: BaseModel
    read: Corpus
    config: TuningConfig
    split: Split
    newest: Mapping[str, set[int]]
    present: PromptFile | None
    lineage: tuple[str, ...]

    @property
    def room(self) -> int:
        """Tokens of the longest example to measure by: the recipe's, if positions allow."""
        return self.room_for(self.config.held_out_tokens)

    def room_for(self, tokens: int) -> int:
        """At most that many tokens, as the model's positions leave them behind the prompt."""
        left = self.base.model.config.max_position_embeddings - self.config.num_virtual_tokens
        return min(tokens, left)


def tune(
    base: BaseModel,
    read: Corpus,
    out: Path | None,
    config: TuningConfig,
    progress: Progress,
    *,
    against: Sequence[PromptFile] = (),
    present: Path | None = None,
    fresh: bool = False,
) -> Report:
    """Tune a prompt on a repository; write it to `out` if the test files prove it, else beside.

    `against` are prompts of other repositories to compare with. `present` is the repository's
    prompt to start from (a refresh). A run that was killed goes on where it was unless `fresh`.
    Ctrl-C ends the run at once: the best prompt so far is kept only if the validation files had
    proved it already.

    Raises `tuning.corpus.CorpusError` if there are too few files, and
    `prompts.errors.PromptWriteError` if the result cannot be written, which is tried before the
    time is spent.
    """
    began = time.monotonic()
    group = joined()
    target = out or read.root / DEFAULT_PROMPT
    for prompt in against:
        prefix_kv(base, prompt)  # refuse a prompt of another model before the time is spent
    job = _job(base, read, config, present)
    with _writable(target):
        start = _start(job)
        untrained = start.rows().detach().clone()
        resumable = Resumable(checkpoint.unfinished_path(target), _fingerprint(job))
        if fresh:
            resumable.path.unlink(missing_ok=True)
        tuned = _train(job, start, progress, resumable, group)
        draft = _prompt_file(job, tuned.rows, tuned, measured={})
        proof = None
        if not tuned.interrupted and group.leads:
            ways = {NO_PROMPT: Way(base)}
            if job.present is None:
                ways[UNTRAINED] = Way(base, _prompt_file(job, untrained, tuned, measured={}))
            else:
                ways[PRESENT] = Way(base, job.present)
            for prompt in against:
                ways[OTHER + prompt.manifest.name] = Way(base, prompt)
            ways |= _with_retrieval(base, draft)
            try:
                proof = _proof(
                    job,
                    ways,
                    lambda fraction: progress(_look("Proving it on unseen files", fraction, tuned)),
                )
            except KeyboardInterrupt:
                tuned.interrupted = True
        proven = _serves(proof, tuned)
        written = None
        if group.leads and (proof is not None or proven):
            measured = proof.to_json() if proof else _validated(tuned.best.gain)
            measured |= {"proven": proven, "curve": _curve(tuned.checks)}
            if not tuned.interrupted and config.task == "completion":
                measured |= calibrated(Engine(base, draft), _validation_holes(job))
            written = target if proven else unproven_path(target)
            write_prompt(
                written, replace(draft, manifest=replace(draft.manifest, measured=measured))
            )
        if group.leads and not tuned.interrupted:
            resumable.path.unlink(missing_ok=True)
    return Report(
        repository=read.root.name,
        files=job.split.sizes,
        left_out=read.left_out,
        steps=tuned.steps,
        seconds=time.monotonic() - began,
        interrupted=tuned.interrupted,
        checks=tuple(tuned.checks),
        proof=proof,
        proven=proven,
        written=written,
        resumable=tuned.interrupted and resumable.path.exists(),
    )


def evaluate(
    base: BaseModel,
    read: Corpus,
    prompt: PromptFile,
    progress: Progress,
    *,
    against: Sequence[PromptFile] = (),
) -> Proof:
    """Prove a prompt on the files of a repository that its tuning held out, as far as they exist.

    Raises `tuning.corpus.CorpusError` for too few files or a prompt that does not say which files
    it held out, and `prompts.errors.IncompatiblePrompt`.
    """
    ways = {NO_PROMPT: Way(base)}
    ways |= {OTHER + other.manifest.name: Way(base, other) for other in against}
    ways |= _with_retrieval(base, prompt)
    for way in ways.values():
        prefix_kv(base, way.prompt)  # refuse a prompt of another model before anything else
    known = recorded(prompt.manifest)
    test = recorded_test(read.files, known)
    config = _measuring(prompt.manifest, known)
    newest = newest_lines(read.root, [file.path for file in read.files])
    job = _Job(base, read, config, Split((), (), test), newest, None, ())
    return _proof(job, ways, lambda fraction: progress(Look("Measuring", fraction)))


def _measuring(manifest: Manifest, known: Recorded) -> TuningConfig:
    """The part of the recipe that decides which holes are measured, as the prompt file says it."""
    return TuningConfig(
        form=manifest.form,
        num_virtual_tokens=manifest.num_virtual_tokens,
        held_out_tokens=known.held_out_tokens,
        test_holes=known.test_holes,
        task=_task(manifest),
        seed=known.seed,
    )


def _task(manifest: Manifest) -> Task:
    """What a prompt was tuned for; a task of a later Attune is measured as completion."""
    return "docstring" if manifest.task == "docstring" else "completion"


def _job(base: BaseModel, read: Corpus, config: TuningConfig, present: Path | None) -> _Job:
    newest = newest_lines(read.root, [file.path for file in read.files])
    if present is None:
        sides = split(included(read.files, config.include), config.seed, newest)
        return _Job(base, read, config, sides, newest, None, ())
    before = read_prompt(present)
    prefix_kv(base, before)
    known = recorded(before.manifest)
    manifest = before.manifest
    config = replace(
        config,
        form=manifest.form,
        num_virtual_tokens=manifest.num_virtual_tokens,
        seed=known.seed,
        include=manifest.globs,
        task=_task(manifest),
    )
    lineage = (*manifest.lineage, sha256_of(present))
    sides = recorded_split(included(read.files, manifest.globs), known)
    return _Job(base, read, config, sides, newest, before, lineage)


def _start(job: _Job) -> Prefix:
    if job.present is not None:
        return FORMS[job.config.form](torch.from_numpy(job.present.embeddings))
    ids = initial_ids(job.base, job.split.train, job.config.num_virtual_tokens)
    return initial_prefix(job.base, job.config.form, ids)


def _fingerprint(job: _Job) -> str:
    """What the run depends on: a killed run is taken up only if nothing of it has changed."""
    return checkpoint.fingerprint(
        {
            "config": asdict(job.config),
            "model": asdict(job.base.identity),
            "files": [
                [side, *((file.path, file.text) for file in files)]
                for side, files in vars(job.split).items()
            ],
            "lineage": job.lineage,
        }
    )


def _train(
    job: _Job, prefix: Prefix, progress: Progress, resumable: Resumable, group: Group
) -> Tuned:
    base, config = job.base, job.config
    validation = _validation_holes(job)
    measured_by = [hole.example for hole in validation]
    no_prompt = prefix_kv(base, None)
    without = middle_nats(base.model, no_prompt, measured_by)
    as_prefix = FORMS[config.form]

    def validate(rows: Tensor) -> Gain:
        with torch.no_grad():
            kv = as_prefix(rows).kv(base.model)
        return paired_gain(
            without, middle_nats(base.model, kv, measured_by), validation, config.seed
        )

    examples = TrainingExamples(
        base,
        job.split.train,
        config=config,
        room=job.room_for(config.max_tokens),
        generic=generic.sample() if config.anchor else (),
        changed=_changed(job),
        # of the files to tune on only: what is held out must not be seen in front of a hole either
        others=indexed(job.split.train) if config.retrieved or config.distillation else None,
    )
    return train(
        base.model,
        prefix,
        examples,
        validate,
        config,
        lambda fraction, tuned: progress(_look("Tuning", fraction, tuned)),
        teacher=Teacher(base.model, no_prompt),
        resumable=resumable,
        group=group,
    )


def _validation_holes(job: _Job) -> list[HeldOutHole]:
    """The holes that the best prompt is chosen by."""
    return held_out_holes(
        job.base,
        job.split.validation,
        config=ContextConfig(),
        room=job.room,
        count=job.config.validation_holes,
        seed=job.config.seed,
        task=job.config.task,
    )


def _changed(job: _Job) -> set[str]:
    """Files to dwell on in a refresh: those that changed since the present prompt was tuned."""
    commit = None if job.present is None else job.present.manifest.commit
    if commit is None:
        return set()
    return set(changed_since(job.read.root, commit) or ())


def _test_holes(job: _Job, others: Repository | None = None) -> list[HeldOutHole]:
    """The holes of the proof. Another seed than the validation's, so that nothing is shared."""
    return held_out_holes(
        job.base,
        job.split.test,
        config=ContextConfig(),
        room=job.room,
        count=job.config.test_holes,
        seed=job.config.seed + 1,
        task=job.config.task,
        newest=job.newest,
        others=others,
    )


def _with_retrieval(base: BaseModel, prompt: PromptFile) -> dict[str, Way]:
    """The prompt and code of other files, each alone and both together."""
    return {
        THIS_PROMPT: Way(base, prompt),
        RETRIEVAL: Way(base, None, retrieval=True),
        BOTH: Way(base, prompt, retrieval=True),
    }


def _proof(
    job: _Job,
    ways: Mapping[str, Way],
    progress: Callable[[float], None],
) -> Proof:
    others = indexed(job.read.files)
    holes = _test_holes(job, others)
    sort = stratum_of(job.read.files)
    strata = [sort(hole.file, hole.hole) for hole in holes]
    return prove(holes, strata, ways, job.config.seed, progress, others)


def _serves(proof: Proof | None, tuned: Tuned) -> bool:
    """Whether the prompt may serve: proven, and after a refresh no worse than before it."""
    if proof is None:
        return tuned.best.gain.proven
    before = [arm.gain.mean for arm in proof.arms if arm.name == PRESENT]
    return proof.gain.proven and all(proof.gain.mean >= mean for mean in before)


def _prompt_file(job: _Job, rows: Tensor, tuned: Tuned, measured: dict[str, Any]) -> PromptFile:
    config, name = job.config, job.read.root.name
    manifest = Manifest(
        name=name or "repository",
        form=config.form,
        num_virtual_tokens=config.num_virtual_tokens,
        model=job.base.identity,
        languages=("python",),
        repository=name,
        commit=commit_of(job.read.root),
        recipe={
            **_recipe(config),
            "steps": tuned.best.step,
            "bfloat16": bool(tuned.bfloat16),
            "validation_files": [digest(file.path) for file in job.split.validation],
            "test_files": [digest(file.path) for file in job.split.test],
        },
        measured=measured,
        lineage=job.lineage,
        task=None if config.task == "completion" else config.task,
        globs=config.include,
        attune_version=version("attune"),
    )
    return PromptFile(manifest, rows.contiguous().numpy())


def _recipe(config: TuningConfig) -> dict[str, Any]:
    told = asdict(config)
    for key in ("form", "num_virtual_tokens", "minutes", "steps", "include", "task"):
        del told[key]
    return {**told, "learning_rate": config.peak_rate}


def _look(phase: str, fraction: float, tuned: Tuned) -> Look:
    return Look(phase, fraction, tuned.steps, tuned.seconds, tuple(tuned.checks))


def _curve(checks: Sequence[Check]) -> list[dict[str, float]]:
    """Without seconds, which differ between runs that end at the same bytes."""
    return [
        {
            "step": check.step,
            "loss": round(check.train_loss, 4),
            "gain": round(check.gain.mean, 5),
        }
        for check in checks
    ]


def _validated(gain: Gain) -> dict[str, Any]:
    """What an interrupted run can claim: the validation files chose the prompt and proved it."""
    return {
        "gain": round(gain.mean, 5),
        "gain_low": round(gain.low, 5),
        "gain_high": round(gain.high, 5),
        "interrupted": True,
    }


@contextmanager
def _writable(target: Path) -> Iterator[None]:
    """Find out that `target` cannot be written before minutes are spent; leave no empty folder."""
    if not target.name.endswith(SUFFIX):
        raise PromptWriteError(
            f"{target.name} does not end with {SUFFIX}; give the prompt file such a name."
        )
    if target.is_dir():
        raise PromptWriteError(f"{target} is a folder; name a file with --out.")
    missing = [folder for folder in (target.parent, *target.parents) if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = target.with_name(".attune-probe.tmp")
        probe.touch()
        probe.unlink()
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
