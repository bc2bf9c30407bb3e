"""What `attune tune` and `attune eval` show: progress on stderr, tables on stdout."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars
from rich.table import Table
from rich.text import Text

from attune.show import interval, percent

if TYPE_CHECKING:
    from tuning.acceptance import AcceptanceScores
    from tuning.drift import Drift
    from tuning.progress import OnProgress, Progress
    from tuning.proof import Acceptance, Proof
    from tuning.report import TuningReport

SHOWN_SAMPLES = 6
WIDTH = 44  # characters of one column of code
STRATA = {
    "cross_file": "other files' symbols",
    "in_file": "this file's",
    "rest": "neither",
    "newest": "newest commits",
}
CURVE = "▁▂▃▄▅▆▇█"


@contextmanager
def progress_display(json_lines: bool, *, visible: bool = True) -> "Iterator[OnProgress]":
    """Shows a run's progress on stderr: a bar for each phase, or JSON lines.

    A JSON line holds `phase` (a code), `description` (its title), `done` (0 to 1), `steps`,
    `seconds` of training so far, `seconds_left` of the phase (null before it can be estimated), and
    of the validation files `gain`, the latest one, and `selected_gain`, the one of the prompt that
    would be written (both null before the first evaluation).
    """
    if not visible:
        yield lambda progress: None
    elif json_lines:
        yield _json_lines()
    else:
        with _bars() as on_progress:
            yield on_progress


def _json_lines() -> "OnProgress":
    from time import monotonic

    starts: dict[str, tuple[float, float]] = {}

    def on_progress(progress: "Progress") -> None:
        now = monotonic()
        since, first = starts.setdefault(progress.phase.code, (now, progress.fraction))
        done = progress.fraction - first
        left = (now - since) * (1 - progress.fraction) / done if done > 0 else None
        gains = [evaluation.gain.mean for evaluation in progress.evaluations]
        selected = progress.selected
        line = {
            "phase": progress.phase.code,
            "description": progress.phase.title,
            "done": round(progress.fraction, 4),
            "steps": progress.steps,
            "seconds": round(progress.seconds, 1),
            "seconds_left": None if left is None else round(left, 1),
            "gain": round(gains[-1], 5) if gains else None,
            "selected_gain": None if selected is None else round(selected.gain.mean, 5),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)  # noqa: T201

    return on_progress


@contextmanager
def _bars() -> "Iterator[OnProgress]":
    """One bar for each phase, with the validation gain and its curve. A new phase completes the
    bars before it."""
    tasks: dict[str, TaskID] = {}
    console = Console(stderr=True)
    with ProgressBars(
        TextColumn("{task.description:<26}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[score]}"),
        console=console,
    ) as bars:

        def on_progress(progress: "Progress") -> None:
            phase = progress.phase.title
            if phase not in tasks:
                if not console.is_terminal:  # no bar is drawn there before the end
                    console.print(f"{phase}…", highlight=False)
                for task in tasks.values():
                    bars.update(task, completed=1.0)
                tasks[phase] = bars.add_task(phase, total=1.0, score="")
            gains = [evaluation.gain.mean for evaluation in progress.evaluations]
            score = f"validation {gains[-1]:+.1%} {_curve(gains)}" if gains else ""
            bars.update(tasks[phase], completed=progress.fraction, score=score)

        yield on_progress


def _curve(gains: list[float]) -> str:
    low, high = min(gains), max(gains)
    span = (high - low) or 1.0
    return "".join(CURVE[round((gain - low) / span * (len(CURVE) - 1))] for gain in gains)


def show_report(report: "TuningReport") -> None:
    """The table of a tuning run, and some completions beside the files' own text."""
    console = Console()
    if report.left_out:
        parts = ", ".join(f"{count} {why}" for why, count in sorted(report.left_out.items()))
        console.print(f"Left out: {parts}.", highlight=False)
    for notice in report.notices:
        console.print(notice, highlight=False)
    if report.proof is not None:
        files = report.files
        console.print(
            f"{report.repository}: tuned on {files['train']} files for {report.steps} steps; the "
            f"prompt is that of step {report.selected.step}, selected on "
            f"{files['validation']} files and measured on {files['test']} unseen ones.",
            highlight=False,
        )
        show_proof(report.proof)
        if report.proof.acceptance is not None:
            _show_samples(console, report.proof.acceptance)
    if report.proven and report.written is not None:
        console.print(
            f"Written to {report.written}; it serves from now on, in the editor and with "
            "`attune complete`.",
            highlight=False,
            soft_wrap=True,
        )


def show_proof(proof: "Proof") -> None:
    """What people see, then the scores of every condition."""
    table = Table(title=f"{proof.holes} hidden pieces of {proof.files} unseen files")
    table.add_column("")
    for name in ("bits per byte", "saved"):
        table.add_column(name, justify="right")
    for result in proof.results:
        table.add_row(
            result.name,
            f"{result.bits_per_byte:.3f}",
            percent(result.gain.mean),
        )
    console = Console()
    if proof.acceptance is not None:
        console.print(acceptance_sentences(proof.acceptance), highlight=False)
    console.print(table)
    _show_strata(console, proof)
    console.print(f"Bits saved by this prompt: {interval(proof.gain)}", highlight=False)
    if proof.over_retrieval is not None:
        console.print(
            f"Bits saved beside retrieval: {interval(proof.over_retrieval)}", highlight=False
        )
    console.print("Proven." if proof.proven else "Not proven.", style="bold")
    if proof.specificity is not None:
        console.print(
            f"{min(1.0, proof.specificity):.0%} of it is specific to this repository: prompts of "
            "others do not give it.",
            highlight=False,
        )


def _show_strata(console: Console, proof: "Proof") -> None:
    table = Table(title="Bits per byte, by what the hidden piece names")
    table.add_column("")
    for name, count in proof.strata.items():
        table.add_column(f"{STRATA[name]} ({count})", justify="right")
    for result in proof.results:
        table.add_row(result.name, *(f"{result.strata[name]:.3f}" for name in proof.strata))
    console.print(table)


def show_drift(drift: "Drift") -> None:
    """What changed, what the prompt saves there, and what to do."""
    console = Console()
    since = "" if drift.commits is None else f" in {drift.commits} commits"
    console.print(
        f"Changed since the prompt was tuned{since}: {drift.changed_files} of {drift.files} files, "
        f"{drift.changed_lines} lines.",
        highlight=False,
    )
    if drift.gain is not None:
        before = "" if drift.proven_gain is None else f"; it proved {drift.proven_gain:+.1%}"
        console.print(
            f"Saved on {drift.holes} hidden pieces of them: {drift.gain.mean:+.1%}{before}.",
            highlight=False,
        )
    console.print(drift.advice, highlight=False)


def acceptance_sentences(acceptance: "Acceptance") -> str:
    """What people see, in two sentences."""
    without, with_prompt, gain = acceptance.without, acceptance.with_prompt, acceptance.gain
    sentences = (
        f"Of 100 places in unseen files, the editor shows {_shown_and_right(with_prompt)}; "
        f"without the prompt {_shown_and_right(without)}. Characters saved, at equally many wrong "
        f"ones: {interval(gain)}"
    )
    if gain.low > 0:
        return f"{sentences}."
    if acceptance.is_seen:
        return f"{sentences}: no difference that one would see."
    return f"{sentences}: {acceptance.places} places are too few to see a difference."


def _shown_and_right(scores: "AcceptanceScores") -> str:
    return f"{100 * scores.shown:.0f} suggestions, {100 * scores.shown * scores.right:.0f} right"


def _show_samples(console: Console, acceptance: "Acceptance") -> None:
    """Places where the two differ, then others where anything is shown."""
    shown = [one for one in acceptance.texts if one.without or one.with_prompt]
    shown.sort(key=lambda one: one.without == one.with_prompt)
    if not shown:
        return
    table = Table(title="Suggestions at some of these places (✓ right)", show_lines=True)
    for name in ("place", "the file says", "without the prompt", "with the prompt"):
        table.add_column(name, max_width=WIDTH, overflow="fold")
    for one in shown[:SHOWN_SAMPLES]:
        text, start = one.place.file.text, one.place.hole.start
        expected = text[start:]
        left = text[text.rfind("\n", 0, start) + 1 : start].strip()[-24:]
        line = text.count("\n", 0, start) + 1
        table.add_row(
            Text(f"{Path(one.place.file.path).name}:{line}\n{left}▏"),
            Text(expected.partition("\n")[0]),
            _judged(one.without, expected),
            _judged(one.with_prompt, expected),
        )
    console.print(table)


def _judged(text: str, expected: str) -> Text:
    right = bool(text) and expected.startswith(text)
    return Text(("✓ " if right else "  ") + text, style="green" if right else "")
