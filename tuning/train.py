"""The training loop: only the prefix learns; the model in front of it stays as it is."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from code_model.llama import Llama
from code_model.precision import bfloat16_wins
from tuning.evaluate import Gain, collated
from tuning.examples import Example
from tuning.prefix import KVPrefix

MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class TuningConfig:
    """The recipe. `steps`, where given, replaces the time budget and makes runs repeatable.

    Examples to learn from are short (`max_tokens`), those to measure by are about as long as
    serving's (`held_out_tokens`).

    Many small steps beat few large ones (docs/experiments.md).
    """

    num_virtual_tokens: int = 128
    minutes: float = 4.0
    steps: int | None = None
    learning_rate: float = 0.03
    warmup: float = 0.05
    clip: float = 1.0
    examples_per_step: int = 4
    max_tokens: int = 256
    held_out_tokens: int = 512
    left_to_right: float = 0.25
    checks: int = 5
    patience: int = 3
    validation_holes: int = 40
    test_holes: int = 160
    seed: int = 1


@dataclass(frozen=True)
class Check:
    """One look at the validation files while training."""

    fraction: float
    step: int
    seconds: float
    train_loss: float
    gain: Gain


@dataclass
class Tuned:
    """The best prefix so far by validation gain, and how it came about."""

    prefix: Tensor
    best: Check
    checks: list[Check] = field(default_factory=list)
    steps: int = 0
    interrupted: bool = False


def loss_of(model: Llama, prefix: Tensor, examples: list[Example]) -> Tensor:
    """Summed cross-entropy (nats) over all tokens but the first of each example."""
    ids = collated(examples)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_wins()):
        hidden = model(ids[:, :-1], prefix)
        lengths = torch.tensor([len(one.ids) - 1 for one in examples])
        real = torch.arange(ids.shape[1] - 1)[None, :] < lengths[:, None]
        logits = model.logits(hidden[real])
    return F.cross_entropy(logits.float(), ids[:, 1:][real], reduction="sum")


def rate(fraction: float, warmup: float) -> float:
    """Share of the peak rate: linear up, then linear down to zero at the end."""
    return min(1.0, fraction / warmup if warmup else 1.0, (1.0 - fraction) / (1.0 - warmup))


def train(
    model: Llama,
    start: Tensor,
    examples: Iterator[Example],
    validate: Callable[[Tensor], Gain],
    config: TuningConfig,
    report: Callable[[float, Check], None],
) -> Tuned:
    """Tune the prefix that begins as `start` (L, 2, G, P, D); returns the best one seen.

    `validate` scores a prefix on the validation files, before the first step and `config.checks`
    times after; training stops early when `config.patience` checks in a row were not the best.
    `report` hears the share done and the latest check after every step. Ctrl-C ends the loop at
    once and keeps what was best until then.
    """
    prefix = KVPrefix(start)
    optimiser = torch.optim.AdamW(
        prefix.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
    )
    began = time.monotonic()
    check = Check(0.0, 0, 0.0, float("nan"), validate(start))
    tuned = Tuned(start, check, [check])
    fraction, loss = 0.0, float("nan")
    try:
        while fraction < 1.0:
            share = max(rate(fraction, config.warmup), 1e-3)
            loss = _step(model, prefix, optimiser, examples, config, share)
            tuned.steps += 1
            elapsed = time.monotonic() - began
            if config.steps is not None:
                fraction = tuned.steps / config.steps
            else:
                fraction = elapsed / (60.0 * config.minutes)
            if fraction >= len(tuned.checks) / config.checks or fraction >= 1.0:
                with torch.no_grad():
                    moved = prefix().clone()
                check = Check(min(1.0, fraction), tuned.steps, elapsed, loss, validate(moved))
                tuned.checks.append(check)
                if check.gain.mean > tuned.best.gain.mean:
                    tuned.prefix, tuned.best = moved, check
            report(min(1.0, fraction), check)
            if len(tuned.checks) - 1 - tuned.checks.index(tuned.best) >= config.patience:
                break  # early stop: the validation files have long been past their best
    except KeyboardInterrupt:
        tuned.interrupted = True
    return tuned


def _step(
    model: Llama,
    prefix: KVPrefix,
    optimiser: torch.optim.Optimizer,
    examples: Iterator[Example],
    config: TuningConfig,
    share: float,
) -> float:
    """One update; returns the loss in nats per token."""
    drawn = [next(examples) for _ in range(config.examples_per_step)]
    loss = loss_of(model, prefix(), drawn) / sum(len(one.ids) - 1 for one in drawn)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(prefix.parameters(), config.clip)
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * share
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return loss.item()
