"""The training loop: only the prompt learns; the model behind it stays as it is."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from code_model.language_model import TunableModel
from tuning import checkpoint
from tuning.config import TuningConfig
from tuning.distributed import ProcessGroup
from tuning.evaluate import Gain
from tuning.examples import Example
from tuning.objective import step_gradient
from tuning.soft_prompt import SoftPrompt

SAVE_SECONDS = 5.0
LOOKS_SHARE = 0.15  # of a time budget, at most, for looks at the validation files

Validate = Callable[[Tensor, TunableModel], Gain]  # rows, and the model to measure behind


class Examples(Protocol):
    """Examples by number, without end."""

    def __getitem__(self, number: int) -> Example:
        """The example of that number."""


@dataclass(frozen=True)
class Evaluation:
    """One look at the validation files while training. `seconds` are of training so far."""

    fraction: float
    step: int
    seconds: float
    train_loss: float
    gain: Gain


@dataclass
class Tuned:
    """The rows (P, width) of the look that is taken so far, and how they came about."""

    rows: Tensor
    taken: Evaluation
    checks: list[Evaluation] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    bfloat16: bool = False
    interrupted: bool = False


@dataclass(frozen=True)
class Resumable:
    """Where a run's state is kept, and the fingerprint that says whose it is."""

    path: Path
    run: str


def rate(fraction: float, warmup: float) -> float:
    """Share of the peak rate: linear up, then linear down to zero at the end."""
    return min(1.0, fraction / warmup if warmup else 1.0, (1.0 - fraction) / (1.0 - warmup))


def train(
    model: TunableModel,
    prompt: SoftPrompt,
    examples: Examples,
    validate: Validate,
    config: TuningConfig,
    report: Callable[[float, "Tuned"], None],
    *,
    resumable: Resumable | None = None,
    group: ProcessGroup | None = None,
) -> Tuned:
    """Tune `prompt`; returns the rows of the last look that is as good as any.

    `validate` scores rows on the validation files, before the first step and
    `config.n_evaluations` times after (less often where an evaluation takes long), behind the model
    in the precision of training: bfloat16 where that is faster.
    Few files cannot tell looks apart that differ by less than a standard error, and the later one
    has learnt longer. Training stops early when `config.patience` looks in a row were worse than
    that. `report` hears the share done and the state after every step. Ctrl-C ends the loop at once
    and keeps what was taken until then. With `resumable`, the state is kept every `SAVE_SECONDS`,
    and a run that was killed goes on from there; with `config.steps` it ends at the same bytes.
    Several processes (`group`) share the examples of every step.
    """
    return _Run(
        model, prompt, examples, validate, config, report, resumable, group or ProcessGroup()
    ).to_its_end()


@dataclass
class _Run:
    model: TunableModel
    prompt: SoftPrompt
    examples: Examples
    validate: Validate
    config: TuningConfig
    report: Callable[[float, Tuned], None]
    resumable: Resumable | None
    group: ProcessGroup

    def to_its_end(self) -> Tuned:
        config = self.config
        self.optimiser = torch.optim.AdamW(
            self.prompt.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=config.weight_decay,
        )
        self.mean = self.prompt.delta.detach().clone()
        began = time.monotonic()
        tuned = self._taken_up()
        # decided once: another precision would end at other bytes
        low = tuned.bfloat16 if tuned else bool(self.group.broadcast(self.model.prefers_bfloat16()))
        self.learning = self.model.in_bfloat16() if low else self.model
        if tuned is None:
            rows = self._rows()
            check = Evaluation(0.0, 0, 0.0, 0.0, self.validate(rows, self.learning))
            tuned = Tuned(rows, check, [check], bfloat16=low)
        before, saved = tuned.seconds, began
        fraction, measuring = self._fraction(tuned, 0.0), 0.0
        due = self._next_look(tuned, measuring)
        try:
            while fraction < 1.0 and not self._is_long_past(tuned):
                loss = self._step(tuned.steps, max(rate(fraction, config.warmup), 1e-3))
                tuned.steps += 1
                tuned.seconds = before + time.monotonic() - began
                fraction = self._fraction(tuned, measuring)
                checked = fraction >= due
                if checked:
                    started = time.monotonic()
                    self._check(tuned, fraction, loss)
                    measuring = time.monotonic() - started
                    due = self._next_look(tuned, measuring)
                self.report(fraction, tuned)
                now = time.monotonic()
                if self.group.is_main_process and (checked or now - saved > SAVE_SECONDS):
                    tuned.seconds = before + now - began
                    self._save(tuned)
                    saved = now
        except KeyboardInterrupt:
            tuned.interrupted = True
        return tuned

    def _fraction(self, tuned: Tuned, measuring: float) -> float:
        """Share done. The last look at the validation files, of `measuring` seconds, is part of
        the time budget."""
        if self.config.steps is not None:
            return min(1.0, tuned.steps / self.config.steps)
        spent = (tuned.seconds + measuring) / (60.0 * self.config.minutes)
        return self.group.broadcast(min(1.0, spent))

    def _next_look(self, tuned: Tuned, measuring: float) -> float:
        """The share done at which to evaluate again: the next of `config.n_evaluations` even ones,
        or so much later, and so far from the end, that evaluations of `measuring` seconds take no
        more than their share of the time."""
        last, looks = tuned.checks[-1].fraction, self.config.n_evaluations
        even = (math.floor(last * looks + 1e-9) + 1) / looks - 1e-9
        if self.config.steps is not None:
            return even
        apart = measuring / (60.0 * self.config.minutes * LOOKS_SHARE)
        due = max(even, last + apart)
        return self.group.broadcast(due if due + apart <= 1.0 else 1.0)

    def _is_long_past(self, tuned: Tuned) -> bool:
        return len(tuned.checks) - 1 - tuned.checks.index(tuned.taken) >= self.config.patience

    def _step(self, step: int, share: float) -> float:
        """One update; returns the loss in nats per weight (a scored token weighs 1)."""
        config, group = self.config, self.group
        first = step * config.examples_per_step
        numbers = range(first, first + config.examples_per_step)
        drawn = [self.examples[n] for n in numbers if n % group.size == group.rank]
        loss, weight, gradient = step_gradient(
            self.learning,
            self.prompt,
            drawn,
            config,
        )
        sums, gradient = group.all_reduce(torch.tensor([loss, weight])), group.all_reduce(gradient)
        delta = self.prompt.delta
        delta.grad = gradient / sums[1]
        torch.nn.utils.clip_grad_norm_([delta], config.max_grad_norm)
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = config.learning_rate * share
        self.optimiser.step()
        self.mean.lerp_(delta.detach(), 1 - (step / (step + 1)) ** (config.ema_power + 1))
        return float(sums[0] / sums[1])

    def _rows(self) -> Tensor:
        """What would be written now: part of the way from the start to the mean of the offsets,
        most of it of the latest ones.

        A power-function moving average (Karras et al. 2024, arXiv 2312.02696), whose memory grows
        with the run, so that it suits every time budget. All of the way costs in code that is
        unlike what was tuned on, unseen files of the same repository among it.
        """
        with torch.no_grad():
            return self.prompt.prompt_embeddings(self.config.wise_ft_alpha * self.mean)

    def _check(self, tuned: Tuned, fraction: float, loss: float) -> None:
        rows = self._rows()
        gain = self.validate(rows, self.learning)
        check = Evaluation(fraction, tuned.steps, tuned.seconds, loss, gain)
        tuned.checks.append(check)
        top = max((one.gain for one in tuned.checks), key=lambda one: one.mean)
        better = gain.mean > tuned.checks[0].gain.mean
        if better and gain.mean >= top.mean - top.standard_error:
            tuned.rows, tuned.taken = rows, check

    def _save(self, tuned: Tuned) -> None:
        if self.resumable is None:
            return
        moments = self.optimiser.state[self.prompt.delta]
        state = {
            "steps": tuned.steps,
            "seconds": tuned.seconds,
            "bfloat16": tuned.bfloat16,
            "taken": tuned.checks.index(tuned.taken),
            "checks": [asdict(check) for check in tuned.checks],
        }
        tensors = {
            "delta": self.prompt.delta.detach(),
            "exp_avg": moments["exp_avg"],
            "exp_avg_sq": moments["exp_avg_sq"],
            "mean": self.mean,
            "rows": tuned.rows,
        }
        checkpoint.save(self.resumable.path, self.resumable.run, state, tensors)

    def _taken_up(self) -> Tuned | None:
        """The state of a run that was killed, None if there is none of this very run."""
        if self.resumable is None:
            return None
        loaded = checkpoint.load(self.resumable.path, self.resumable.run)
        if loaded is None:
            return None
        state, tensors = loaded
        with torch.no_grad():
            self.prompt.delta.copy_(tensors["delta"])
            self.mean.copy_(tensors["mean"])
        self.optimiser.state[self.prompt.delta] = {
            "step": torch.tensor(float(state["steps"])),
            "exp_avg": tensors["exp_avg"],
            "exp_avg_sq": tensors["exp_avg_sq"],
        }
        checks = [Evaluation(**{**one, "gain": Gain(**one["gain"])}) for one in state["checks"]]
        taken = checks[state["taken"]]
        return Tuned(
            tensors["rows"], taken, checks, state["steps"], state["seconds"], state["bfloat16"]
        )
