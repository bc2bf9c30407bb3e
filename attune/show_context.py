"""What `attune tune --context` shows of its search."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from attune.show import interval, percent

if TYPE_CHECKING:
    from tuning.context_search import ContextFound

PARTS = {
    "suffix": "what stands behind the cursor",
    "header": "header: imports, signatures, members",
    "similar": "similar code of other files",
    "definition": "definitions of the names around",
}


def show_context(console: Console, found: "ContextFound") -> None:
    """What was chosen, and what each part of it is worth."""
    tried = f"{found.tried} contexts were tried"
    if found.gain is None:
        said = f"{tried}; none is better than the default, which stays."
    elif found.taken:
        said = f"{tried}; one saves {interval(found.gain)} against the default and is taken:"
    else:
        said = (
            f"{tried}; the best one is not proven on files that did not choose it: "
            f"{interval(found.gain)}; the default stays."
        )
    console.print(said, highlight=False)
    if found.taken:
        config = found.config
        shares = ", ".join(f"{name} up to {share:.0%}" for name, share in config.sources)
        console.print(
            f"  {config.max_prefix_tokens} tokens before the cursor, {config.max_suffix_tokens} "
            f"behind it, {config.max_header_tokens} of header, {config.max_snippet_tokens} of "
            f"other files ({shares}; in the order {', '.join(config.order)}).",
            highlight=False,
        )
    if found.sections:
        table = Table(
            title=f"What each part saves, by leaving it out ({found.holes} hidden pieces of "
            f"{found.files} files)"
        )
        table.add_column("part")
        table.add_column("bits saved", justify="right")
        table.add_column("95 % interval", justify="right")
        for name, gain in found.sections.items():
            table.add_row(
                PARTS.get(name, name),
                percent(gain.mean),
                f"{percent(gain.low)} to {percent(gain.high)}",
            )
        console.print(table)
