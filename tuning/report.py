"""The result of a tuning run, for the command and for JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuning.proof import Proof
from tuning.train import Evaluation


@dataclass(frozen=True)
class TuningReport:
    """What a run measured and wrote.

    `files` counts the files of each side of the split, `left_out` the unread ones by reason.
    `selected` is the one of `evaluations` whose prompt was proved and written. `proof` is None if
    Ctrl-C came before it. `written` is None if nothing was written: then, and when a refresh is no
    better than the present prompt. `resumable` says that the same command continues the run.
    `notices` are sentences about folders that were not read.

    Reason for its size: the figures of one line of JSON each.
    """

    repository: str
    files: dict[str, int]
    left_out: dict[str, int]
    steps: int
    seconds: float
    interrupted: bool
    evaluations: tuple[Evaluation, ...]
    selected: Evaluation
    proof: Proof | None
    proven: bool
    written: Path | None
    resumable: bool = False
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The figures, without samples of code."""
        return {
            "repository": self.repository,
            "files": self.files,
            "left_out": self.left_out,
            "steps": self.steps,
            "selected_step": self.selected.step,
            "seconds": round(self.seconds, 1),
            "interrupted": self.interrupted,
            "validation": [
                {**point, "seconds": round(evaluation.seconds, 1)}
                for point, evaluation in zip(curve(self.evaluations), self.evaluations, strict=True)
            ],
            "proof": None if self.proof is None else self.proof.to_json(),
            "proven": self.proven,
            "written": None if self.written is None else str(self.written),
        }


def curve(evaluations: Sequence[Evaluation]) -> list[dict[str, float]]:
    """Training loss (nats per weight) and validation gain by step.

    Without seconds, which differ between runs that end at the same bytes.
    """
    return [
        {
            "step": evaluation.step,
            "loss": round(evaluation.train_loss, 4),
            "gain": round(evaluation.gain.mean, 5),
        }
        for evaluation in evaluations
    ]
