"""The show threshold: how sure the model must be of a line before an editor shows it.

Silence costs little and a wrong suggestion costs a glance, so a line is shown only if enough of
those at least as sure are right. The log-probability that this asks for differs from prompt to
prompt, and is measured where the prompt was chosen: on its validation files, not on the proof's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from code_model.language_model import Session
from tuning.evaluate import decoded_scores
from tuning.examples import HeldOutHole

TARGET_PRECISION = 0.3
"""Share of shown first lines that are what the file says; Cursor is said to show from 0.25 on."""
MIN_SHOWN = 10  # fewer lines are no measure


@dataclass(frozen=True)
class Threshold:
    """Show first lines of at least this log-probability (nats): `precision` of them are right, and
    they are the share `shown` of all."""

    logprob: float
    precision: float
    shown: float


def threshold_for(
    lines: Sequence[tuple[float, bool]], target: float = TARGET_PRECISION
) -> Threshold | None:
    """The lowest threshold at which `target` of the lines shown are right; None if none is.

    `lines` are log-probabilities, and whether the line was right.
    """
    right, found = 0, None
    ordered = sorted(lines, reverse=True)
    for shown, (logprob, is_right) in enumerate(ordered, start=1):
        right += is_right
        last_of_equals = shown == len(ordered) or ordered[shown][0] < logprob
        if last_of_equals and shown >= MIN_SHOWN and right >= target * shown:
            found = Threshold(logprob, right / shown, shown / len(lines))
    return found


def calibrated(engine: Session, holes: Sequence[HeldOutHole]) -> dict[str, float]:
    """What a prompt file says about showing, from completing lines as the editor would.

    Empty where no threshold reaches the target: then everything is shown. What serving leaves out
    by its rules is not shown at any threshold, and does not count.
    """
    samples = decoded_scores(engine, holes).samples
    found = threshold_for([(one.logprob, one.text == one.expected) for one in samples if one.text])
    if found is None:
        return {}
    return {
        "show_threshold": round(found.logprob, 4),
        "show_precision": round(found.precision, 4),
        "show_share": round(found.shown, 4),
    }
