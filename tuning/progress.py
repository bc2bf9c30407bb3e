"""How far a tuning run is, as its front ends show it."""

from collections.abc import Callable
from dataclasses import dataclass

from tuning.acceptance import ShownText
from tuning.train import Evaluation


@dataclass(frozen=True)
class Phase:
    """Part of a run: `code` for programs, `title` for people."""

    code: str
    title: str


INITIALISE = Phase("initialise", "Choosing where to start")
TRAIN = Phase("train", "Tuning")
CALIBRATE = Phase("calibrate", "Choosing when to show")
EVALUATE = Phase("evaluate", "Proving it on unseen files")
TRAIN_LORA = Phase("train_lora", "Tuning LoRA")
GENERATE = Phase("generate", "Sampling text")
RETRAIN = Phase("retrain", "Tuning with canaries")


@dataclass(frozen=True)
class Progress:
    """The share of a phase that is done (0 to 1), and the training so far.

    `seconds` counts training only. `selected` is the evaluation whose prompt would be written now,
    None before the first one. `shown` is what the proof has just seen at a place.
    """

    phase: Phase
    fraction: float
    steps: int = 0
    seconds: float = 0.0
    evaluations: tuple[Evaluation, ...] = ()
    selected: Evaluation | None = None
    shown: ShownText | None = None


OnProgress = Callable[[Progress], None]
