"""Calibration of the show threshold: the log-probability below which a line is not shown.

A wrong suggestion costs attention, a missing one little. So a line is shown only if enough of the
lines with at least its log-probability are right. That value differs between prompts; it is
calibrated on the validation files, because the test files are for the proof.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from code_model.language_model import Session
from tuning.evaluate import decoded_scores
from tuning.examples import HeldOutHole

TARGET_PRECISION = 0.3
"""Share of the shown first lines that must be right; Cursor reportedly shows from 0.25 on."""
MIN_SHOWN = 10  # fewer lines are too few to estimate a share from


@dataclass(frozen=True)
class Threshold:
    """Show first lines of at least `logprob` (nats): the share `precision` of them is right, and
    they are the share `shown` of all."""

    logprob: float
    precision: float
    shown: float


def threshold_for(
    lines: Sequence[tuple[float, bool]], target: float = TARGET_PRECISION
) -> Threshold | None:
    """The lowest threshold at which the share `target` of the shown lines is right, or None.

    `lines` are log-probabilities (nats), each with whether the line was right.
    """
    right, lowest = 0, None
    ordered = sorted(lines, reverse=True)
    for shown, (logprob, is_right) in enumerate(ordered, start=1):
        right += is_right
        last_of_equals = shown == len(ordered) or ordered[shown][0] < logprob
        if last_of_equals and shown >= MIN_SHOWN and right >= target * shown:
            lowest = Threshold(logprob, right / shown, shown / len(lines))
    return lowest


def calibrated(session: Session, holes: Sequence[HeldOutHole]) -> dict[str, float]:
    """The manifest's entries about showing, measured by completing lines as the editor would.

    Empty if no threshold reaches the target: then everything is shown. Completions that the filters
    drop are not shown at any threshold and do not count.
    """
    lines = [
        (sample.logprob, sample.text == sample.expected)
        for sample in decoded_scores(session, holes).samples
        if sample.text
    ]
    threshold = threshold_for(lines)
    if threshold is None:
        return {}
    return {
        "show_threshold": round(threshold.logprob, 4),
        "show_precision": round(threshold.precision, 4),
        "show_share": round(threshold.shown, 4),
    }
