"""Tables about models: the user's models, and what `attune model check` found out."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from attune.show import show_two_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from code_model.hub_download import OnBytes
    from code_model.model_resolution import ResolvedModel

NAMED_BY = {
    "option": "as requested",
    "environment": "by ATTUNE_MODEL",
    "repository": "by this repository",
    "user": "by your default",
    "shipped": "because no other is chosen",
}
ORDERS = {
    "psm": "prefix, suffix, middle (psm)",
    "spm": "suffix, prefix, middle (spm)",
    "ltr": "left to right (ltr)",
}


@contextmanager
def download_progress(name: str) -> "Iterator[OnBytes]":
    """A progress bar on stderr, in bytes."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None)

        def on_bytes(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield on_bytes


def show_models(rows: list[dict[str, Any]], resolved: "ResolvedModel") -> None:
    """The user's models; words mark the ones that serve, not colour alone."""
    table = Table()
    for column in ("name", "serves", "engine", "files"):
        table.add_column(column, overflow="fold")
    for row in rows:
        marks = ["here" if row["serving"] else "", "your default" if row["default"] else ""]
        computing = (row["engine"], row["device"], row["precision"], row["quantisation"])
        files = row["path"] if row["problem"] is None else f"PROBLEM: {row['problem']}"
        table.add_row(
            Text(row["name"]),
            ", ".join(filter(None, marks)),
            Text(" ".join(part for part in computing if part) or "best"),
            Text(files),
        )
    console = Console()
    console.print(table)
    console.print(Text(f"Here {resolved.name} serves, {NAMED_BY[resolved.named_by]}."))


def show_check(report: dict[str, Any]) -> None:
    """The result of a check."""
    from code_model.memory import gigabytes

    facts, here = report["facts"], report["here"]
    rows = [("model", f"{report['name']} ({report['path']})")]
    if facts is not None:
        rows += [
            ("family", f"{facts['family']}: {' '.join(facts['fim_tokens']) or 'no infilling'}"),
            ("order", ORDERS.get(facts["order"], facts["order"])),
            ("attention", facts["attention"]),
            ("weights", f"{gigabytes(facts['weight_bytes'])} as they are stored"),
        ]
    rows.append(("free memory", gigabytes(report["free_bytes"])))
    if report["free_gpu_bytes"] is not None:
        rows.append(("free memory of the GPU", gigabytes(report["free_gpu_bytes"])))
    if here is not None:
        computing = (here["engine"], here["precision"], here["quantisation"])
        decode = here["speed"]["decode"]
        written = "it wrote nothing here" if decode is None else f"{decode:,.0f} written"
        per_1000, prompt = here["kv_bytes_per_1000_tokens"], here["prompt_bytes"]
        rows += [
            ("parameters", f"{here['parameters'] / 1e6:.1f} million"),
            ("1,000 tokens of KV", "not known" if per_1000 is None else gigabytes(per_1000)),
            ("each prompt in use", "not known" if prompt is None else gigabytes(prompt)),
            ("engine", " ".join(part for part in computing if part)),
            ("device", here["device"]),
            ("positions", f"{here['max_positions']:,}"),
            ("prompts served", ", ".join(here["serves"]) or "none"),
            ("prompts tuned", ", ".join(here["tunes"]) or "none"),
            ("tokens per second", f"{here['speed']['prefill']:,.0f} read, {written}"),
        ]
    rows += [("PROBLEM", refusal) for refusal in report["refusals"]]
    show_two_columns(rows)
