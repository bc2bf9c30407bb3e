"""Output for people in the terminal: progress on stderr, tables on stdout."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from attune.doctor import Finding
    from prompts.manifest import Manifest
    from tuning.evaluate import Gain

MAX_LISTED = 4


def waiting(sentence: str) -> Status:
    """A spinner on stderr for a wait of unknown length; a context manager."""
    return Console(stderr=True).status(sentence)


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
        ("measured", _measured(manifest)),
        ("licence", manifest.licence or "not stated"),
        ("made by", f"Attune {manifest.attune_version}"),
    ]
    show_two_columns(rows)


def show_findings(findings: "list[Finding]") -> None:
    """The findings of `attune doctor` as a table; a word marks problems, not colour alone."""
    show_two_columns(
        [
            (finding.subject, ("PROBLEM: " if finding.problem else "") + finding.value)
            for finding in findings
        ]
    )


def _measured(manifest: "Manifest") -> str:
    """The gain in words; `attune report` and --json have all figures."""
    from prompts.measured_gain import gain_words

    words = gain_words(manifest)
    if words is None:
        return "not measured"
    parts = [words if manifest.proven else f"{words}, not proven"]
    for key in ("files", "holes"):
        count = manifest.measured.get(key)
        if isinstance(count, int):
            parts.append(f"{count} unseen {'files' if key == 'files' else 'hidden pieces'}")
    return ", ".join(parts)


def bits_saved(gain: float | None, *, proven: bool) -> str:
    """A measured share of bits in words."""
    if gain is None:
        return "not measured"
    return percent(gain) + ("" if proven else ", not proven")


def interval(gain: "Gain") -> str:
    """A gain with its interval; says so if the interval includes zero, or if there is none."""
    if not gain.bounded:
        return f"{percent(gain.mean)} (of a single file, so without an interval)"
    verdict = "" if gain.proven else "; the interval includes zero"
    return (
        f"{percent(gain.mean)} (95 % interval {percent(gain.low)} to {percent(gain.high)}{verdict})"
    )


def percent(share: float) -> str:
    """A share as a percentage with its sign: two decimals below 1 %, else one."""
    return f"{100 * share:+.2f} %" if 0 < abs(share) < 0.01 else f"{100 * share:+.1f} %"


def _pairs(values: object) -> str:
    """Keys and values on one line, nested ones too."""
    if isinstance(values, dict):
        return ", ".join(f"{key} {_pairs(value)}" for key, value in sorted(values.items()))
    return shortened(values)


def shortened(value: object) -> str:
    """A value for people: a long list is only counted."""
    if isinstance(value, list) and len(value) > MAX_LISTED:
        return f"{len(value)} entries"
    return str(value)


def show_two_columns(rows: list[tuple[str, str]]) -> None:
    """A table of names and texts."""
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    Console().print(table)
