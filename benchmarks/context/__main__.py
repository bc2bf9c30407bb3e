"""Run the context benchmarks.

    python -m benchmarks.context quality [--packages NAME …] [--places N] [--ways NAME …]
    python -m benchmarks.context speed [--archive WHEEL …]

`quality` completes at places of packages that the default model was not trained on, with each
source of context and with other budgets; what it has measured is kept in the cache. `speed`
measures parsing, indexing and assembling on the standard library and on wheels; give it one core
(`taskset -c 0 python -m …`).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.acceptance import print_stage
from benchmarks.context import quality, speed
from benchmarks.repositories import CACHE, fetched
from code_model.loading import load_model
from pretraining.package_lists import held_out


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one benchmark; the figures go to stdout, and as JSON to --out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("quality")
    command.add_argument("--packages", nargs="+", default=list(held_out()))
    command.add_argument("--places", type=int, default=200, help="of each package")
    command.add_argument("--ways", nargs="+", default=list(quality.WAYS), choices=quality.WAYS)
    command.add_argument("--cache", type=Path, default=CACHE)
    command = commands.add_parser("speed")
    command.add_argument("--archive", type=Path, nargs="*", default=[])
    for command in commands.choices.values():
        command.add_argument("--out", type=Path, default=None)
    options = parser.parse_args(arguments)
    figures: object
    if options.command == "quality":
        versions = held_out()
        measured = quality.measure(
            load_model(),
            fetched(options.cache, {name: versions[name] for name in options.packages}),
            options.places,
            options.cache,
            options.ways,
            print_stage,
        )
        quality.show(measured, Console(width=120))
        figures = measured
    else:
        rows = speed.measure(load_model(), options.archive)
        speed.show(rows, Console())
        figures = rows
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
