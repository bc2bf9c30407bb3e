"""The training loop: budget of time or steps, evaluations on validation files, checkpoints."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from code_model.language_model import TunableModel
from tuning import checkpoint
from tuning.config import TuningConfig
from tuning.distributed import ProcessGroup
from tuning.evaluate import Gain
from tuning.prompt_optimiser import Examples, PromptOptimiser
from tuning.soft_prompt import SoftPrompt

SAVE_SECONDS = 5.0
EVALUATION_SHARE = 0.15  # of a time budget, at most, for evaluations on the validation files

Validate = Callable[[Tensor, TunableModel], Gain]
"""The gain of prompt embeddings (P, width) on the validation files, in a model's precision."""


@dataclass(frozen=True)
class Evaluation:
    """One measurement on the validation files. `seconds` and `fraction` are of training so far."""

    fraction: float
    step: int
    seconds: float
    train_loss: float
    gain: Gain


@dataclass
class TrainingState:
    """How far training is: the `selected` evaluation and its prompt embeddings (P, width)."""

    prompt_embeddings: Tensor
    selected: Evaluation
    evaluations: list[Evaluation] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    bfloat16: bool = False
    interrupted: bool = False

    @property
    def total_steps(self) -> int:
        """The steps that the schedule was made for: a run that stopped early made fewer."""
        last = self.evaluations[-1]
        return round(last.step / last.fraction) if last.step else max(1, self.steps)

    def add(self, evaluation: Evaluation, prompt_embeddings: Tensor) -> None:
        """Add an evaluation; select it if it is better than the start, and no more than a standard
        error worse than the best one: few files cannot tell such evaluations apart, and the later
        prompt has been trained longer."""
        self.evaluations.append(evaluation)
        best = max((each.gain for each in self.evaluations), key=lambda gain: gain.mean)
        gain = evaluation.gain
        is_better = gain.mean > self.evaluations[0].gain.mean
        if is_better and gain.mean >= best.mean - best.standard_error:
            self.prompt_embeddings, self.selected = prompt_embeddings, evaluation


@dataclass(frozen=True)
class Checkpoint:
    """Where a run's state is kept, and the fingerprint of the run."""

    path: Path
    fingerprint: str


def train(
    model: TunableModel,
    prompt: SoftPrompt,
    examples: Examples,
    validate: Validate,
    config: TuningConfig,
    report: Callable[[float, TrainingState], None],
    *,
    resume: Checkpoint | None = None,
    group: ProcessGroup | None = None,
) -> TrainingState:
    """Train `prompt`; returns the state at the end, with the selected evaluation's embeddings.

    `validate` measures before the first step and `config.n_evaluations` times after, less often
    where an evaluation takes long, in the precision of training: bfloat16 where that is faster.
    Training stops early after `config.patience` evaluations in a row that were not selected.
    `report` gets the share done and the state after every step. Ctrl-C ends the loop at once; the
    state then says `interrupted`. With `resume`, the state is saved every `SAVE_SECONDS`, and a run
    that was killed continues from there; with `config.steps` it ends at the same bytes. The
    processes of `group` share the examples of every step.
    """
    loop = _Loop(model, prompt, examples, validate, config, resume, group or ProcessGroup())
    return loop.run(report)


def retrain(
    model: TunableModel,
    prompt: SoftPrompt,
    examples: Examples,
    config: TuningConfig,
    *,
    n_steps: int,
    bfloat16: bool,
    progress: Callable[[float], None],
) -> Tensor:
    """The prompt embeddings (P, width) after the first `n_steps` of a run of `config.steps`.

    The same steps as `train` makes, in the given precision and without evaluations. Raises
    `ValueError` without `config.steps`.
    """
    if config.steps is None:
        raise ValueError("a run can be repeated by its steps only, not by its time")
    model = model.for_gradients(bfloat16=bfloat16)
    optimiser = PromptOptimiser(model, prompt, examples, config, ProcessGroup())
    for step in range(n_steps):
        optimiser.step(step, step / config.steps)
        progress((step + 1) / n_steps)
    return optimiser.averaged_embeddings()


class _Loop:
    def __init__(
        self,
        model: TunableModel,
        prompt: SoftPrompt,
        examples: Examples,
        validate: Validate,
        config: TuningConfig,
        resume: Checkpoint | None,
        group: ProcessGroup,
    ) -> None:
        self._started = time.monotonic()  # the first evaluation is part of the time budget
        self._validate, self._config = validate, config
        self._checkpoint, self._group = resume, group
        saved = None if resume is None else checkpoint.load(resume.path, resume.fingerprint)
        # Decided once per run: another precision would end at other bytes.
        prefers = bool(group.broadcast(model.prefers_bfloat16()))
        bfloat16 = prefers if saved is None else bool(saved[0]["bfloat16"])
        self._model = model.for_gradients(bfloat16=bfloat16)
        self._optimiser = PromptOptimiser(self._model, prompt, examples, config, group)
        if saved is None:
            embeddings = self._optimiser.averaged_embeddings()
            first = Evaluation(0.0, 0, 0.0, 0.0, validate(embeddings, self._model))
            self._state = TrainingState(embeddings, first, [first], bfloat16=bfloat16)
        else:
            self._state = self._load(*saved)

    def run(self, report: Callable[[float, TrainingState], None]) -> TrainingState:
        state = self._state
        earlier, run_started = state.seconds, self._started
        saved_at = run_started
        evaluation_seconds = 0.0
        fraction, due = self._fraction(evaluation_seconds), self._next_due(evaluation_seconds)
        try:
            while fraction < 1.0 and not self._is_out_of_patience():
                loss = self._optimiser.step(state.steps, fraction)
                state.steps += 1
                state.seconds = earlier + time.monotonic() - run_started
                fraction = self._fraction(evaluation_seconds)
                is_due = fraction >= due
                if is_due:
                    started = time.monotonic()
                    self._evaluate(fraction, loss)
                    evaluation_seconds = time.monotonic() - started
                    due = self._next_due(evaluation_seconds)
                report(fraction, state)
                now = time.monotonic()
                if is_due or now - saved_at > SAVE_SECONDS:
                    state.seconds = earlier + now - run_started
                    self._save()
                    saved_at = now
        except KeyboardInterrupt:
            state.interrupted = True
        return state

    def _fraction(self, evaluation_seconds: float) -> float:
        """Share done. The last evaluation, of `evaluation_seconds`, is part of the time budget."""
        if self._config.steps is not None:
            return min(1.0, self._state.steps / self._config.steps)
        spent = (self._state.seconds + evaluation_seconds) / (60.0 * self._config.minutes)
        return self._group.broadcast(min(1.0, spent))

    def _next_due(self, evaluation_seconds: float) -> float:
        """The share done at which to evaluate next.

        One of `config.n_evaluations` evenly spaced ones; or so much later, and so far from the end,
        that evaluations take no more than `EVALUATION_SHARE` of a time budget.
        """
        last, count = self._state.evaluations[-1].fraction, self._config.n_evaluations
        even = (math.floor(last * count + 1e-9) + 1) / count - 1e-9
        if self._config.steps is not None:
            return even
        apart = evaluation_seconds / (60.0 * self._config.minutes * EVALUATION_SHARE)
        due = max(even, last + apart)
        return self._group.broadcast(due if due + apart <= 1.0 else 1.0)

    def _is_out_of_patience(self) -> bool:
        evaluations = self._state.evaluations
        since = len(evaluations) - 1 - evaluations.index(self._state.selected)
        return since >= self._config.patience

    def _evaluate(self, fraction: float, loss: float) -> None:
        embeddings = self._optimiser.averaged_embeddings()
        gain = self._validate(embeddings, self._model)
        state = self._state
        state.add(Evaluation(fraction, state.steps, state.seconds, loss, gain), embeddings)

    def _save(self) -> None:
        if self._checkpoint is None or not self._group.is_main_process:
            return
        state = {
            "steps": self._state.steps,
            "seconds": self._state.seconds,
            "bfloat16": self._state.bfloat16,
            "selected": self._state.evaluations.index(self._state.selected),
            "evaluations": [asdict(evaluation) for evaluation in self._state.evaluations],
        }
        tensors = self._optimiser.state_tensors()
        tensors["prompt_embeddings"] = self._state.prompt_embeddings
        checkpoint.save(self._checkpoint.path, self._checkpoint.fingerprint, state, tensors)

    def _load(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> TrainingState:
        self._optimiser.load_state_tensors(tensors, state["steps"])
        evaluations = [
            Evaluation(**{**saved, "gain": Gain(**saved["gain"])}) for saved in state["evaluations"]
        ]
        return TrainingState(
            tensors["prompt_embeddings"],
            evaluations[state["selected"]],
            evaluations,
            state["steps"],
            state["seconds"],
            state["bfloat16"],
        )
