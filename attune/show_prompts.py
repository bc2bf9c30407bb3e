"""Tables of prompts: lists, differences, checks."""

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from prompts.comparison import Comparison


def show_list(rows: list[dict[str, Any]]) -> None:
    """The prompts of a repository and of the user's store."""
    if not rows:
        Console().print('No prompts yet; run "attune tune" or "attune prompt pull".')
        return
    table = _table("prompt", "name", "model", "gain", "audit", "serves")
    for row in rows:
        if "problem" in row:
            table.add_row(row["prompt"], Text(f"PROBLEM: {row['problem']}"), "", "", "", "")
            continue
        table.add_row(
            Text(row["prompt"] if len(row["prompt"]) < 40 else row["prompt"][:19] + "…"),
            Text(row["name"]),
            Text(row["model"]),
            gain_words(row["gain"], proven=row["proven"]),
            "passed" if row["audited"] else "none",
            Text("; ".join(", ".join(globs) for globs in row["routes"])),
        )
    Console().print(table)


def show_versions(rows: list[dict[str, Any]]) -> None:
    """The versions of a registry."""
    table = _table("name", "version", "digest", "model", "gain", "audit", "signed")
    for row in rows:
        table.add_row(
            Text(row["name"]),
            str(row["version"]),
            row["sha256"][:12],
            Text(row["model"]),
            gain_words(row["gain"], proven=row["proven"]),
            "passed" if row["audited"] else "none",
            "yes" if row["signed"] else "no",
        )
    Console().print(table)


def gain_words(gain: float | None, *, proven: bool) -> str:
    """A measured gain for people."""
    if gain is None:
        return "not measured"
    return f"{gain:+.1%}" + ("" if proven else ", not proven")


def show_difference(found: "Comparison") -> None:
    """Fields with both values, and how far the numbers are apart."""
    console = Console()
    if found.fields:
        table = _table("field", "first", "second")
        for key, values in found.fields.items():
            table.add_row(Text(key), *(Text(json.dumps(value)) for value in values))
        console.print(table)
    if found.tensor is None:
        console.print("Their tensors have different shapes.")
    elif found.tensor.rows:
        console.print(
            f"{found.tensor.rows} virtual tokens differ: {found.tensor.relative:.3%} of the norm,"
            f" at most {found.tensor.largest:.4g}.",
            highlight=False,
        )
    else:
        console.print("Their numbers are equal.")


def show_checks(checks: list[tuple[str, bool, str]]) -> None:
    """What was checked of a prompt; problems are marked by a word, not only by colour."""
    table = _table("check", "finding")
    for name, good, finding in checks:
        table.add_row(name, Text(finding if good else f"PROBLEM: {finding}"))
    Console().print(table)


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
