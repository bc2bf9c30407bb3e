"""What people see in the terminal: progress on stderr, tables on stdout."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from attune.doctor import Finding
    from prompts.manifest import Manifest
    from tuning.evaluate import Gain
    from tuning.proof import Proof
    from tuning.train import Check
    from tuning.tune import Report

SHOWN_SAMPLES = 6
WIDTH = 44  # characters of one column of code


def waiting(sentence: str) -> Status:
    """A spinner on stderr for a wait whose length nobody knows; use it with `with`."""
    return Console(stderr=True).status(sentence)


class Phases:
    """One progress bar for each phase of a run, on stderr."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<26}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}"),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Phases":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, phase: str, fraction: float, check: "Check | None") -> None:
        """Show how far a phase is; a new phase completes the ones before."""
        if phase not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, completed=1.0)
            self._tasks[phase] = self._progress.add_task(phase, total=1.0, score="")
        score = "" if check is None else f"validation {check.gain.mean:+.1%}"
        self._progress.update(self._tasks[phase], completed=fraction, score=score)


def show_report(report: "Report") -> None:
    """The table of a tuning run, and some completions beside what the files say."""
    console = Console()
    if report.left_out:
        parts = ", ".join(f"{count} {why}" for why, count in sorted(report.left_out.items()))
        console.print(f"Left out: {parts}.", highlight=False)
    if report.proof is not None:
        files = report.files
        console.print(
            f"{report.repository}: tuned on {files['train']} files for {report.steps} steps, "
            f"chosen on {files['validation']}, measured on {files['test']} unseen files.",
            highlight=False,
        )
        show_proof(report.proof)
        _show_samples(console, report.proof)
    if report.proven and report.written is not None:
        console.print(f"Written to {report.written}", highlight=False, soft_wrap=True)


def show_proof(proof: "Proof") -> None:
    """The scores of every arm."""
    table = Table(title=f"{proof.holes} hidden pieces of {proof.files} unseen files")
    table.add_column("")
    for name in ("bits per byte", "saved", "exact lines", "edit similarity"):
        table.add_column(name, justify="right")
    first = proof.arms[0].bits_per_byte
    for arm in proof.arms:
        table.add_row(
            arm.name,
            f"{arm.bits_per_byte:.3f}",
            f"{1 - arm.bits_per_byte / first:+.1%}",
            f"{arm.decoded.exact_match:.0%}",
            f"{arm.decoded.edit_similarity:.0%}",
        )
    console = Console()
    console.print(table)
    console.print(f"Gain of this prompt: {_interval(proof.gain)}", highlight=False)


def _interval(gain: "Gain") -> str:
    verdict = "proven" if gain.proven else "not proven: the interval includes zero"
    return f"{gain.mean:+.1%} (95 % interval {gain.low:+.1%} to {gain.high:+.1%}; {verdict})"


def _show_samples(console: Console, proof: "Proof") -> None:
    without, with_prompt = proof.arms[0].decoded.samples, proof.arms[-1].decoded.samples
    table = Table(title="The first hidden lines, and what was completed", show_lines=True)
    for name in ("place", "the file says", proof.arms[0].name, proof.arms[-1].name):
        table.add_column(name, max_width=WIDTH, overflow="fold")
    for before, after in list(zip(without, with_prompt, strict=True))[:SHOWN_SAMPLES]:
        left = before.left.strip()[-24:]
        table.add_row(
            Text(f"{Path(before.path).name}:{before.line}\n{left}▏"),
            Text(before.expected),
            _judged(before.text, before.expected),
            _judged(after.text, after.expected),
        )
    console.print(table)


def _judged(text: str, expected: str) -> Text:
    right = text == expected
    return Text(("✓ " if right else "  ") + text, style="green" if right else "")


def show_manifest(file: Path, sha256: str, manifest: "Manifest") -> None:
    """The manifest of a prompt file as a table."""
    rows = [
        ("file", str(file)),
        ("sha256", sha256),
        ("name", manifest.name),
        ("form", f"{manifest.form}, {manifest.num_virtual_tokens} virtual tokens"),
        ("model", f"{manifest.model.name} ({manifest.model.model_fingerprint[:16]})"),
        ("languages", ", ".join(manifest.languages)),
        ("tuned on", f"{manifest.repository} at {manifest.commit or 'no commit'}"),
        ("recipe", _pairs(manifest.recipe)),
        ("measured", _pairs(manifest.measured)),
        ("licence", manifest.licence or "not stated"),
        ("made by", f"Attune {manifest.attune_version}"),
    ]
    _two_columns(rows)


def show_findings(findings: "list[Finding]") -> None:
    """What `attune doctor` found; problems are marked by a word, not only by colour."""
    _two_columns(
        [
            (finding.subject, ("PROBLEM: " if finding.problem else "") + finding.value)
            for finding in findings
        ]
    )


def _pairs(values: object) -> str:
    if not isinstance(values, dict):
        return str(values)
    shown = (f"{key} {_pairs(value)}" for key, value in sorted(values.items()))
    return ", ".join(shown)


def _two_columns(rows: list[tuple[str, str]]) -> None:
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    Console().print(table)
