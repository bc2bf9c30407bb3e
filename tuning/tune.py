"""The whole of `attune tune`: read, split, tune, prove, write; and `attune eval`: prove again."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from torch import Tensor

from code_context import context_parameters
from code_context.languages import language_of
from code_model.compatibility import check_prompt
from code_model.language_model import TunableModel
from prompts.errors import PromptWriteError
from prompts.file import DEFAULT_PROMPT, SUFFIX, PromptFile, write_prompt
from prompts.manifest import Manifest, layout_with
from prompts.router import unproven_path
from tuning import checkpoint
from tuning.config import TuningConfig
from tuning.controls import control_ways
from tuning.corpus import Corpus
from tuning.distributed import init_process_group
from tuning.evaluate import Gain
from tuning.history import commit_of
from tuning.job import (
    Job,
    fingerprint_of,
    new_job,
    proof_of,
    recorded_job,
    start_of,
    train_job,
    validation_holes,
)
from tuning.proof import (
    BOTH,
    LORA,
    NO_PROMPT,
    PRESENT,
    RETRIEVAL,
    THIS_PROMPT,
    UNTRAINED,
    EvaluationCondition,
    Proof,
)
from tuning.split import digest
from tuning.threshold import calibrated
from tuning.train import Evaluation, Resumable, Tuned

# what a run may have on disk at once, in sizes of its rows: the prompt, and two checkpoints of
# offsets, their two moments and the best rows
FILES_OF_ROWS = 9


@dataclass(frozen=True)
class Look:
    """How far a run is: phase in words, share of it done (0 to 1), and what training saw so far."""

    phase: str
    fraction: float
    steps: int = 0
    seconds: float = 0.0
    checks: tuple[Evaluation, ...] = ()


Progress = Callable[[Look], None]


@dataclass(frozen=True)
class Report:
    """What a run found. `proof` is None when Ctrl-C came before it. `written` is None when nothing
    was written: then too, and when a refresh found nothing better than the present prompt."""

    repository: str
    files: dict[str, int]
    left_out: dict[str, int]
    steps: int
    seconds: float
    interrupted: bool
    checks: tuple[Evaluation, ...]
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


def tune(
    base: TunableModel,
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

    `against` are prompts of other repositories to compare with, beside those that are shipped for
    the default model (`tuning.controls`). `present` is the repository's
    prompt to start from (a refresh). A run that was killed goes on where it was unless `fresh`.
    Ctrl-C ends the run at once: the best prompt so far is kept only if the validation files had
    proved it already.

    Raises `tuning.corpus.CorpusError` if there are too few files, and
    `prompts.errors.PromptWriteError` if the result cannot be written, which is tried before the
    time is spent.
    """
    began = time.monotonic()
    group = init_process_group()
    target = out or read.root / DEFAULT_PROMPT
    for prompt in against:
        check_prompt(base, prompt)  # refuse a prompt of another model before the time is spent
    job = new_job(base, read, config, present)
    with _writable(target) if group.is_main_process else nullcontext():
        start = start_of(job, lambda done: progress(Look("Choosing where to start", done)))
        untrained = start.prompt_embeddings().detach().clone()
        _check_free_space(target.parent, FILES_OF_ROWS * untrained.nbytes)
        resumable = Resumable(checkpoint.unfinished_path(target), fingerprint_of(job))
        if fresh:
            resumable.path.unlink(missing_ok=True)
        tuned = train_job(
            job,
            start,
            lambda fraction, tuned: progress(_look("Tuning", fraction, tuned)),
            resumable,
            group,
        )
        draft = _prompt_file(job, tuned.rows, tuned, measured={})
        proof = None
        found = job.present is None or tuned.taken.step > 0  # else that one stays
        if found and not tuned.interrupted and group.is_main_process:
            ways = {NO_PROMPT: EvaluationCondition(base)}
            if job.present is None:
                ways[UNTRAINED] = EvaluationCondition(
                    base, _prompt_file(job, untrained, tuned, measured={})
                )
            else:
                ways[PRESENT] = EvaluationCondition(base, job.present)
            ways |= control_ways(base, read.root.name, against)
            ways |= _with_retrieval(base, draft)
            try:
                proof = proof_of(
                    job,
                    ways,
                    lambda fraction: progress(_look("Proving it on unseen files", fraction, tuned)),
                )
            except KeyboardInterrupt:
                tuned.interrupted = True
        proven = _serves(proof, tuned)
        written = None
        if group.is_main_process and found and (proof is not None or proven):
            measured = proof.to_json() if proof else _validated(tuned.taken.gain)
            measured |= {"proven": proven, "curve": _curve(tuned.checks)}
            if not tuned.interrupted and config.task == "completion":
                measured |= calibrated(base.open(draft), validation_holes(job))
            written = target if proven else unproven_path(target)
            write_prompt(
                written, replace(draft, manifest=replace(draft.manifest, measured=measured))
            )
        if group.is_main_process and not tuned.interrupted:
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
    base: TunableModel,
    read: Corpus,
    prompt: PromptFile,
    progress: Progress,
    *,
    against: Sequence[PromptFile] = (),
    lora_minutes: float | None = None,
) -> Proof:
    """Prove a prompt on the files of a repository that its tuning held out, as far as they exist.

    With `lora_minutes`, LoRA is tuned for so long on the files that the prompt was tuned on, and
    compared with.

    Raises `tuning.corpus.CorpusError` for too few files or a prompt that does not say which files
    it held out, and `prompts.errors.IncompatiblePrompt`.
    """
    ways = {NO_PROMPT: EvaluationCondition(base)}
    ways |= control_ways(base, read.root.name, against)
    ways |= _with_retrieval(base, prompt)
    for way in ways.values():
        if way.prompt is not None:  # refuse a prompt of another model before anything else
            check_prompt(base, way.prompt)
    job = recorded_job(base, read, prompt.manifest)
    if lora_minutes is not None:
        from tuning.lora import tune_lora

        progress(Look("Tuning LoRA", 0.0))
        config = replace(job.config, minutes=lora_minutes)
        ways[LORA] = EvaluationCondition(tune_lora(base, job.examples, config))
    return proof_of(job, ways, lambda fraction: progress(Look("Measuring", fraction)))


def _with_retrieval(base: TunableModel, prompt: PromptFile) -> dict[str, EvaluationCondition]:
    """The prompt and code of other files, each alone and both together."""
    return {
        THIS_PROMPT: EvaluationCondition(base, prompt),
        RETRIEVAL: EvaluationCondition(base, None, retrieval=True),
        BOTH: EvaluationCondition(base, prompt, retrieval=True),
    }


def _serves(proof: Proof | None, tuned: Tuned) -> bool:
    """Whether the prompt may serve: proven, and after a refresh no worse than before it."""
    if proof is None:
        return tuned.taken.gain.proven
    before = [arm.gain.mean for arm in proof.arms if arm.name == PRESENT]
    return proof.proven and all(proof.gain.mean >= mean for mean in before)


def _prompt_file(job: Job, rows: Tensor, tuned: Tuned, measured: dict[str, Any]) -> PromptFile:
    config, name = job.config, job.read.root.name
    context = context_parameters.to_dict(job.context)
    manifest = Manifest(
        name=name or "repository",
        form=config.form,
        num_virtual_tokens=config.num_virtual_tokens,
        model=replace(
            job.base.identity,
            layout_fingerprint=layout_with(job.base.identity.layout_fingerprint, context),
        ),
        languages=tuple(
            sorted({key for file in job.read.files if (key := language_of(file.path))})
        ),
        repository=name,
        commit=commit_of(job.read.root),
        recipe={
            **_recipe(config),
            "steps": tuned.taken.step,
            "bfloat16": bool(tuned.bfloat16),
            "validation_files": [digest(file.path) for file in job.split.validation],
            "test_files": [digest(file.path) for file in job.split.test],
        },
        measured=measured,
        lineage=job.lineage,
        task=None if config.task == "completion" else config.task,
        globs=config.include,
        context=context,
        attune_version=version("attune"),
    )
    return PromptFile(manifest, rows.contiguous().numpy())


def _recipe(config: TuningConfig) -> dict[str, Any]:
    told = asdict(config)
    for key in ("form", "num_virtual_tokens", "minutes", "steps", "include", "task"):
        del told[key]
    return told


def _look(phase: str, fraction: float, tuned: Tuned) -> Look:
    return Look(phase, fraction, tuned.steps, tuned.seconds, tuple(tuned.checks))


def _curve(checks: Sequence[Evaluation]) -> list[dict[str, float]]:
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


def _check_free_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PromptWriteError(
            f"{folder} has {free / 1e6:.1f} MB of free space, and a prompt with the state of its "
            f"tuning needs {needed / 1e6:.1f} MB; make room, or choose another place with --out."
        )


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
