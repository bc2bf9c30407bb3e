"""Tables about prompts: lists, differences, checks and audits."""

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from attune.show import bits_saved, shortened

if TYPE_CHECKING:
    from prompts.diff import PromptDiff
    from tuning.audit import Audit


def show_list(rows: list[dict[str, Any]]) -> None:
    """The prompts of a repository and of the user's store."""
    if not rows:
        Console().print('No prompts yet; run "attune tune" or "attune prompt pull".')
        return
    table = _table("prompt", "name", "model", "bits saved", "audit", "serves")
    for row in rows:
        if "problem" in row:
            table.add_row(row["prompt"], Text(f"PROBLEM: {row['problem']}"), "", "", "", "")
            continue
        table.add_row(
            Text(row["prompt"] if len(row["prompt"]) < 40 else row["prompt"][:19] + "…"),
            Text(row["name"]),
            Text(row["model"]),
            bits_saved(row["gain"], proven=row["proven"]),
            "passed" if row["audited"] else "none",
            Text(_served(row)),
        )
    Console().print(table)


def _served(row: dict[str, Any]) -> str:
    served = [", ".join(globs) for globs in row["routes"]]
    if row["default"] and row["proven"]:
        served.append("files without a route")
    return "; ".join(served)


def show_versions(rows: list[dict[str, Any]]) -> None:
    """The versions of a registry."""
    table = _table("name", "version", "digest", "model", "bits saved", "audit", "signed")
    for row in rows:
        table.add_row(
            Text(row["name"]),
            str(row["version"]),
            row["sha256"][:12],
            Text(row["model"]),
            bits_saved(row["gain"], proven=row["proven"]),
            "passed" if row["audited"] else "none",
            "yes" if row["signed"] else "no",
        )
    Console().print(table)


def show_diff(diff: "PromptDiff") -> None:
    """The manifest fields that differ, with both values, and the difference of the numbers."""
    console = Console()
    if diff.fields:
        table = _table("field", "first", "second")
        for key, values in diff.fields.items():
            table.add_row(Text(key), *(Text(_value(value)) for value in values))
        console.print(table)
    if diff.tensor is None:
        console.print("Their tensors have different shapes.")
    elif diff.tensor.changed_tokens:
        console.print(
            f"{diff.tensor.changed_tokens} virtual tokens differ: "
            f"{100 * diff.tensor.relative:.3f} % of the norm, at most {diff.tensor.largest:.4g}.",
            highlight=False,
        )
    else:
        console.print("Their numbers are equal.")


def _value(value: Any) -> str:
    return shortened(value) if isinstance(value, list) else json.dumps(value)


def show_audit(audit: "Audit") -> None:
    """The findings of an audit and what they mean."""
    generated, canaries = audit.generated, audit.canaries
    table = _table("check", "finding")
    table.add_row(
        "code in the file itself",
        f"{100 * audit.embedded.share:.0f} % of it, read as text, is code of the repository",
    )
    table.add_row(
        f"spans of the repository, after {generated.places} places",
        f"{generated.spans} with the prompt, {generated.spans_without} without "
        f"(p = {generated.p_value:.2g})",
    )
    mean = sum(canaries.exposures) / len(canaries.exposures)
    table.add_row(
        f"{len(canaries.exposures)} planted secrets",
        f"{mean:.1f} bits of exposure; chance gives 1.4 (p = {canaries.p_value:.2g})",
    )
    secrets = [secret for secret in (audit.embedded.secret, generated.secret) if secret]
    table.add_row("secrets", ", ".join(secrets) or "none")
    console = Console()
    console.print(table)
    for problem in audit.problems:
        console.print(f"PROBLEM: {problem}", highlight=False)
    if audit.embedded.share:
        console.print(
            "Whoever has the file can read that code out of it; share it only with people who may "
            "see the repository.",
            highlight=False,
        )
    console.print("Not passed." if audit.problems else "Passed.", highlight=False)


def show_checks(checks: list[tuple[str, bool, str]]) -> None:
    """The checks of a prompt; problems are marked by a word, not only by colour."""
    table = _table("check", "finding")
    for name, good, finding in checks:
        table.add_row(name, Text(finding if good else f"PROBLEM: {finding}"))
    Console().print(table)


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
