"""The phases of a run: prepare, initialise, train, evaluate, publish. `attune eval` shares them."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from code_model.compatibility import check_prompt, form_to_tune
from code_model.language_model import LanguageModel, Runtime, Session, TunableModel
from prompts.file import DEFAULT_PROMPT, PromptFile, write_prompt
from prompts.router import unproven_path
from tuning import checkpoint
from tuning.acceptance import (
    Place,
    Replay,
    ShownText,
    calibrate,
    replay,
    replay_together,
)
from tuning.config import TuningConfig
from tuning.controls import control_conditions
from tuning.corpus import Corpus
from tuning.distributed import ProcessGroup, init_process_group
from tuning.evaluate import Gain, paired_gain, total_nats
from tuning.job import Job, new_job, recorded_job, refresh_job
from tuning.progress import (
    CALIBRATE,
    EVALUATE,
    INITIALISE,
    TRAIN,
    TRAIN_LORA,
    OnProgress,
    Phase,
    Progress,
)
from tuning.proof import (
    BOTH,
    LORA,
    NO_PROMPT,
    PRESENT,
    RETRIEVAL,
    THIS_PROMPT,
    UNTRAINED,
    Condition,
    Proof,
    compare_acceptance,
    prove,
)
from tuning.publish import check_free_space, measured_by_validation, prompt_file, writable
from tuning.report import TuningReport, curve
from tuning.soft_prompt import SoftPrompt, initial_prompt
from tuning.strata import stratum_of
from tuning.train import Checkpoint, TrainingState, train

CALIBRATION_PLACES = 120
"""Of the validation files. If 80 suggestions are shown and 70 % of them are right, the standard
error of that share is 5 points."""

FIRST_LOOK = 8
"""Places of the calibration that are completed without the prompt, too, to show them early."""


def tune(
    model: TunableModel,
    corpus: Corpus,
    out: Path | None,
    config: TuningConfig,
    on_progress: OnProgress,
    *,
    against: Sequence[PromptFile] = (),
    present: Path | None = None,
    fresh: bool = False,
    served: LanguageModel | None = None,
) -> TuningReport:
    """Tune a prompt on a repository; write it to `out` if the test files prove it, else beside.

    `against` are prompts of other repositories to compare with, beside those that are shipped for
    the default model (`tuning.controls`). `present` is the repository's prompt to start from (a
    refresh). A run that was killed continues where it was unless `fresh`. Ctrl-C ends the run at
    once: its prompt is kept only if the validation files had proved it already. `served` is the
    model that will serve the prompt, if another engine than `model`'s does: show thresholds and
    proof are measured with it.

    Raises `tuning.corpus.CorpusError` for too few files, `prompts.errors.IncompatiblePrompt`, and
    `prompts.errors.PromptWriteError` if the result cannot be written, which is tried first.
    """
    started = time.monotonic()
    run = TuningRun.prepare(
        model, corpus, out, config, on_progress, against, present, served or model
    )
    with writable(run.target) if run.group.is_main_process else nullcontext():
        start = run.initialise()
        state = run.train(start, fresh=fresh)
        draft = run.calibrate(state)
        proof = run.evaluate(state, start, draft)
        written = run.publish(state, draft, proof)
        resumable = run.clean_up(state)
    return TuningReport(
        repository=corpus.root.name,
        files=run.job.split.sizes,
        left_out=corpus.left_out,
        notices=corpus.notices,
        steps=state.steps,
        seconds=time.monotonic() - started,
        interrupted=state.interrupted,
        evaluations=tuple(state.evaluations),
        selected=state.selected,
        proof=proof,
        proven=is_servable(proof, state),
        written=written,
        resumable=resumable,
    )


def evaluate(
    model: TunableModel,
    corpus: Corpus,
    prompt: PromptFile,
    on_progress: OnProgress,
    *,
    against: Sequence[PromptFile] = (),
    lora_minutes: float | None = None,
    served: LanguageModel | None = None,
) -> Proof:
    """Prove a prompt on the files of a repository that its tuning held out, as far as they exist.

    With `lora_minutes`, LoRA is tuned for so long on the files that the prompt was tuned on, as one
    more condition. `served` is as in `tune`, but beside LoRA everything is measured with `model`.

    Raises `tuning.corpus.CorpusError` for missing files or a prompt that does not record its run,
    and `prompts.errors.IncompatiblePrompt`.
    """
    measured_with = served if served is not None and lora_minutes is None else model
    conditions = {NO_PROMPT: Condition(measured_with)}
    conditions |= control_conditions(measured_with, corpus.root.name, against)
    conditions |= _with_and_without_retrieval(measured_with, prompt)
    for condition in conditions.values():
        if condition.prompt is not None:
            check_prompt(measured_with, condition.prompt)
    job = recorded_job(model, corpus, prompt.manifest)
    if lora_minutes is not None:
        from tuning.lora import tune_lora

        on_progress(Progress(TRAIN_LORA, 0.0))
        config = replace(job.config, minutes=lora_minutes, steps=None)
        conditions[LORA] = Condition(tune_lora(model, job.examples, config))
    return prove_job(
        job,
        conditions,
        lambda done, shown: on_progress(Progress(EVALUATE, done, shown=shown)),
    )


@dataclass(frozen=True)
class TuningRun:
    """One run of `attune tune`; its methods are the phases, in their order.

    `target` is where a proven prompt is written, `against` are prompts to compare with, and with
    `served` everything is measured that the prompt file claims.
    """

    job: Job
    target: Path
    against: Sequence[PromptFile]
    group: ProcessGroup
    on_progress: OnProgress
    served: LanguageModel

    @classmethod
    def prepare(
        cls,
        model: TunableModel,
        corpus: Corpus,
        out: Path | None,
        config: TuningConfig,
        on_progress: OnProgress,
        against: Sequence[PromptFile],
        present: Path | None,
        served: LanguageModel,
    ) -> "TuningRun":
        """Join the process group, check the prompts to compare with, and split the files."""
        group = init_process_group()
        for prompt in against:
            check_prompt(served, prompt)
        if present is None:
            job = new_job(model, corpus, config)
        else:
            job = refresh_job(model, corpus, config, present)
        form_to_tune(served, job.config.form)
        return cls(job, out or corpus.root / DEFAULT_PROMPT, against, group, on_progress, served)

    def initialise(self) -> SoftPrompt:
        """The soft prompt before its first step."""
        start = initialise(self.job, lambda done: self.on_progress(Progress(INITIALISE, done)))
        check_free_space(self.target.parent, start.start)
        return start

    def train(self, start: SoftPrompt, *, fresh: bool) -> TrainingState:
        """Train, from a checkpoint of this very run if there is one and not `fresh`."""
        resume = self._checkpoint()
        if fresh:
            resume.path.unlink(missing_ok=True)
        return train_job(
            self.job,
            start,
            lambda fraction, state: self._report(TRAIN, fraction, state),
            resume,
            self.group,
        )

    def calibrate(self, state: TrainingState) -> PromptFile:
        """The pruned prompt with show thresholds that are found on the validation files, with
        retrieval.

        Without them if there are too few places, nothing to prove, or after Ctrl-C: the bare
        model's thresholds then apply.
        """
        job = self.job
        self._report(CALIBRATE, 0.0, state)
        prompt = prompt_file(job, job.pruned(state.prompt_embeddings), state, {})
        places = job.places(job.split.validation, CALIBRATION_PLACES)
        if not self._is_provable(state) or len(places) < CALIBRATION_PLACES:
            return prompt
        session, bare = self.served.open(prompt), self.served.open()

        def is_enough(so_far: Sequence[Replay]) -> bool:
            done = len(so_far[0].paths)
            shown = (
                self._first_look(bare, places[done - 1], so_far[0]) if done <= FIRST_LOOK else None
            )
            self._report(CALIBRATE, done / len(places), state, shown)
            return False

        try:
            replays = replay_together(
                [session], places, job.retriever, job.context, until=is_enough
            )
        except KeyboardInterrupt:
            state.interrupted = True
            return prompt
        thresholds = calibrate(replays)
        measured = {} if thresholds is None else {"show_thresholds": thresholds.to_dict()}
        return replace(prompt, manifest=replace(prompt.manifest, measured=measured))

    def _first_look(self, bare: Session, place: Place, prompted: Replay) -> ShownText:
        """What the last place of `prompted` shows, and what it shows without the prompt."""
        without = replay(bare, [place], self.job.retriever, self.job.context)
        at = bare.show_thresholds.balanced
        return ShownText(place, without.text_at(at), prompted.text_at(at))

    def evaluate(self, state: TrainingState, start: SoftPrompt, draft: PromptFile) -> Proof | None:
        """The proof on the test files; None if there is nothing to prove, or after Ctrl-C."""
        if not self._is_provable(state):
            return None
        job, model = self.job, self.served
        conditions = {NO_PROMPT: Condition(model)}
        if job.present is None:
            conditions[UNTRAINED] = Condition(model, prompt_file(job, start.start, state, {}))
        else:
            conditions[PRESENT] = Condition(model, job.present)
        conditions |= control_conditions(model, job.corpus.root.name, self.against)
        conditions |= _with_and_without_retrieval(model, draft)
        try:
            return prove_job(
                job,
                conditions,
                lambda done, shown: self._report(EVALUATE, done, state, shown),
            )
        except KeyboardInterrupt:
            state.interrupted = True
            return None

    def publish(self, state: TrainingState, draft: PromptFile, proof: Proof | None) -> Path | None:
        """Write the prompt: to the target if it may serve, else beside it; None if not at all."""
        proven = is_servable(proof, state)
        if not self.group.is_main_process or not self._is_new(state):
            return None
        if proof is None and not proven:
            return None
        measured = measured_by_validation(state.selected.gain) if proof is None else proof.to_json()
        # what an interrupted run claims was measured by the model that tuned
        runtime = self.job.model.runtime if proof is None else self.served.runtime
        measured |= {"proven": proven, "curve": curve(state.evaluations)}
        measured |= {"runtime": asdict(runtime)}
        measured |= draft.manifest.measured
        written = self.target if proven else unproven_path(self.target)
        manifest = replace(draft.manifest, measured=measured)
        write_prompt(written, replace(draft, manifest=manifest))
        return written

    def clean_up(self, state: TrainingState) -> bool:
        """Delete the checkpoint of a run that came to its end; says whether one is left."""
        path = self._checkpoint().path
        if self.group.is_main_process and not state.interrupted:
            path.unlink(missing_ok=True)
        return state.interrupted and path.exists()

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(checkpoint.unfinished_path(self.target), self.job.fingerprint)

    def _is_provable(self, state: TrainingState) -> bool:
        return self._is_new(state) and not state.interrupted and self.group.is_main_process

    def _is_new(self, state: TrainingState) -> bool:
        """Whether there is another prompt than the one that a refresh began with."""
        return self.job.present is None or state.selected.step > 0

    def _report(
        self,
        phase: Phase,
        fraction: float,
        state: TrainingState,
        shown: ShownText | None = None,
    ) -> None:
        self.on_progress(
            Progress(
                phase,
                fraction,
                state.steps,
                state.seconds,
                tuple(state.evaluations),
                state.selected,
                shown,
            )
        )


def initialise(job: Job, progress: Callable[[float], None]) -> SoftPrompt:
    """The start of a job's prompt: clusters of its code's queries, or the present prompt.

    `progress` is called with the share done.
    """
    if job.present is not None:
        return SoftPrompt(torch.from_numpy(job.present.embeddings), job.config.form)
    # the same numbers as in serving; of rounded weights, floats that are made once
    model = job.model.for_gradients(bfloat16=False)
    return initial_prompt(model, job.config, job.split.train, job.examples, progress)


def train_job(
    job: Job,
    start: SoftPrompt,
    report: Callable[[float, TrainingState], None],
    resume: Checkpoint | None = None,
    group: ProcessGroup | None = None,
) -> TrainingState:
    """Train `start` on a job's files, selected by its validation files."""
    return train(
        job.model,
        start,
        job.examples,
        _validation(job),
        replace(job.config, weight_decay=job.weight_decay),
        report,
        resume=resume,
        group=group,
    )


def _validation(job: Job) -> Callable[[Tensor, TunableModel], Gain]:
    """The function that measures prompt embeddings on the validation files.

    If training uses retrieved code, so does every second hole.
    """
    holes = job.validation_holes()
    examples = [
        (number % 2 and hole.retrieved) or hole.example for number, hole in enumerate(holes)
    ]
    bare_prefix = job.model.bare_prefix()
    without_prompt: dict[Runtime, NDArray[np.float64]] = {}

    def validate(prompt_embeddings: Tensor, model: TunableModel) -> Gain:
        with torch.no_grad():
            prefix = job.model.prefix_of(prompt_embeddings, job.config.form)
        nats = total_nats(model.score(prefix, examples))
        if model.runtime not in without_prompt:
            without_prompt[model.runtime] = total_nats(model.score(bare_prefix, examples))
        return paired_gain(without_prompt[model.runtime], nats, holes, job.config.seed)

    return validate


def prove_job(
    job: Job,
    conditions: Mapping[str, Condition],
    progress: Callable[[float, ShownText | None], None],
) -> Proof:
    """Measure the conditions on a job's test files.

    `progress` is called with the share done and, while places are completed, what each one shows.
    Where the recipe has a time budget, the proof takes about as long at most: half of it to
    complete, half of it to score.
    """
    config = job.config
    half = math.inf if config.steps is not None else 30.0 * config.minutes
    acceptance = None
    places = job.places(job.split.test, config.proof_places)
    if places and RETRIEVAL in conditions and BOTH in conditions:
        without, with_prompt = (
            conditions[name].model.open(conditions[name].prompt) for name in (RETRIEVAL, BOTH)
        )
        acceptance = compare_acceptance(
            without,
            with_prompt,
            places,
            job.retriever,
            job.context,
            config.seed,
            lambda done, shown: progress(done / len(places) / 2, shown),
            half,
        )
    holes = job.test_holes(job.retriever)
    stratum = stratum_of(job.corpus.files)
    strata = [stratum(hole.file, hole.hole) for hole in holes]
    return prove(
        holes,
        strata,
        conditions,
        config.seed,
        lambda done: progress((1 + done) / 2, None),
        acceptance,
        half,
    )


def is_servable(proof: Proof | None, state: TrainingState) -> bool:
    """Whether the prompt may serve: proven, and after a refresh no worse than before it."""
    if proof is None:
        return state.selected.gain.proven
    before = [result.gain.mean for result in proof.results if result.name == PRESENT]
    return proof.proven and all(proof.gain.mean >= mean for mean in before)


def _with_and_without_retrieval(model: LanguageModel, prompt: PromptFile) -> dict[str, Condition]:
    return {
        THIS_PROMPT: Condition(model, prompt),
        RETRIEVAL: Condition(model, None, retrieval=True),
        BOTH: Condition(model, prompt, retrieval=True),
    }
