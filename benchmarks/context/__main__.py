"""Run the context benchmarks.

    python -m benchmarks.context quality --folder DATA [--holes N] [--packages NAME …]
    python -m benchmarks.context speed [--archive WHEEL …]

`quality` measures the loss of hidden code with each source of context, on packages that the default
model was not trained on (DATA is the folder of `python -m pretraining corpus`). `speed` measures
parsing, indexing and assembling on the standard library and on wheels; give it one core
(`taskset -c 0 python -m …`).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.context import quality, speed
from code_model.loading import load_model
from pretraining import corpus


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one benchmark; the figures go to stdout, and as JSON to --out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("quality")
    command.add_argument("--folder", type=Path, required=True)
    command.add_argument("--packages", nargs="+", default=quality.PACKAGES)
    command.add_argument("--holes", type=int, default=160, help="for each package")
    command.add_argument("--decoded", type=int, default=16, help="lines decoded for each package")
    command.add_argument("--room", type=int, help="limit contexts to so many tokens")
    command = commands.add_parser("speed")
    command.add_argument("--archive", type=Path, nargs="*", default=[])
    for command in commands.choices.values():
        command.add_argument("--out", type=Path, default=None)
    options = parser.parse_args(arguments)
    figures: object
    if options.command == "quality":
        documents = corpus.read(options.folder, "held_out")
        measured = quality.measure(
            load_model(),
            documents,
            options.packages,
            options.holes,
            options.decoded,
            options.room,
        )
        quality.show(measured, Console())
        figures = measured
    else:
        rows = speed.measure(load_model(), options.archive)
        speed.show(rows, Console())
        figures = rows
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
