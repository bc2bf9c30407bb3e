"""What `attune tune` and `attune eval` show at their end, on stdout."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from attune.show import interval, percent
from attune.show_places import place_text

if TYPE_CHECKING:
    from tuning.acceptance import AcceptanceScores
    from tuning.drift import Drift
    from tuning.proof import Acceptance, Proof
    from tuning.report import TuningReport

SHOWN_SAMPLES = 6
STRATA = {
    "cross_file": "other files' symbols",
    "in_file": "this file's",
    "rest": "neither",
    "newest": "newest commits",
}


def show_report(report: "TuningReport", *, details: bool) -> None:
    """What a tuning run gained, and what to do next; all figures with `details`."""
    console = Console(highlight=False)
    if report.left_out:
        parts = ", ".join(f"{count} {why}" for why, count in sorted(report.left_out.items()))
        console.print(f"Left out: {parts}.")
    for notice in report.notices:
        console.print(notice)
    if report.proof is not None:
        files = report.files
        console.print(
            f"{report.repository}: tuned on {files['train']} files for {report.steps} steps; the "
            f"prompt is that of step {report.selected.step}, selected on "
            f"{files['validation']} files and measured on {files['test']} unseen ones."
        )
        if details:
            show_proof(report.proof)
            if report.proof.acceptance is not None:
                _show_samples(console, report.proof.acceptance)
        else:
            _show_gain(console, report.proof)
            console.print("`--details` shows all figures.")
    if report.proof is not None and not report.interrupted:
        console.print(_next_step(report), soft_wrap=True)


def _next_step(report: "TuningReport") -> str:
    """What to do after a run: with a prompt that serves, and without one."""
    if report.proven and report.written is not None:
        return (
            f"Written to {report.written}; it serves from now on.\n"
            "Next: open the repository in VS Code with the extension, and type; commit the file, "
            "and the team's editors use it too; `attune report FILE --html PAGE` makes one page of "
            "all figures."
        )
    return (
        "Next: open the repository in VS Code with the extension, and type; suggestions come "
        "without a new prompt too. `--minutes 10` often gains more; large repositories gain most."
    )


def _show_gain(console: Console, proof: "Proof") -> None:
    """The gain in sentences, and whether it is proven."""
    if proof.acceptance is not None:
        console.print(acceptance_sentences(proof.acceptance))
    beside = proof.over_retrieval
    retrieval = "" if beside is None else f"; beside code that retrieval finds {interval(beside)}"
    console.print(f"Bits of hidden code that it saves: {interval(proof.gain)}{retrieval}.")
    console.print(verdict(proof), style="bold")


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
    console.print(verdict(proof), style="bold")
    if proof.specificity is not None:
        console.print(
            f"{100 * min(1.0, proof.specificity):.0f} % of it is specific to this repository: "
            "prompts of others do not give it.",
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
        before = "" if drift.proven_gain is None else f"; it proved {percent(drift.proven_gain)}"
        console.print(
            f"Saved on {drift.holes} hidden pieces of them: {percent(drift.gain.mean)}{before}.",
            highlight=False,
        )
    console.print(drift.advice, highlight=False)


def acceptance_sentences(acceptance: "Acceptance") -> str:
    """What people see, in two sentences."""
    without, with_prompt, gain = acceptance.without, acceptance.with_prompt, acceptance.gain
    places = min(100, acceptance.places)
    sentences = (
        f"Of {places} places in unseen files, the editor shows "
        f"{_shown_and_right(with_prompt, places)}; "
        f"without the prompt {_shown_and_right(without, places)}. "
        f"Characters saved, at equally many wrong ones: {interval(gain)}"
    )
    if gain.low > 0:
        return f"{sentences}."
    if acceptance.costs_characters:
        return f"{sentences}: the prompt costs what people see."
    return f"{sentences}: {acceptance.places} places are too few to be sure."


def verdict(proof: "Proof") -> str:
    """Whether the prompt is proven, and by what."""
    if not proof.proven:
        return "Not proven."
    seen = proof.acceptance is not None and proof.acceptance.gain.low > 0
    return "Proven, by characters and by bits." if seen else "Proven by bits."


def _shown_and_right(scores: "AcceptanceScores", places: int) -> str:
    shown = places * scores.shown
    return f"{shown:.0f} suggestions, {shown * scores.right:.0f} right"


def _show_samples(console: Console, acceptance: "Acceptance") -> None:
    """Places where the two differ, then others where anything is shown."""
    shown = [one for one in acceptance.texts if one.without or one.with_prompt]
    shown.sort(key=lambda one: one.without == one.with_prompt)
    for one in shown[:SHOWN_SAMPLES]:
        console.print(place_text(one))
