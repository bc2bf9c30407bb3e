"""Draw learning curves: `python -m benchmarks.pretraining_plot DATA/run2 DATA/run3 --out PNG`.

Each run continues the token count of the run before it, whose weights it began with.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

STEPS_PER_POINT = 60  # the losses of so many steps are averaged


def curve(run: Path, tokens_before: int) -> tuple[list[float], list[float], int]:
    """Points of one run: millions of tokens, mean losses in nats per token.

    The third value is the number of tokens seen when the run ended.
    """
    steps = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    millions, losses = [], []
    for start in range(0, len(steps), STEPS_PER_POINT):
        part = steps[start : start + STEPS_PER_POINT]
        millions.append((tokens_before + part[-1]["tokens"]) / 1e6)
        losses.append(sum(step["loss"] for step in part) / len(part))
    return millions, losses, tokens_before + steps[-1]["tokens"]


def draw(runs: Sequence[Path], tokens_before: int, picture: Path) -> None:
    """One line for each run."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    for run in runs:
        millions, losses, tokens_before = curve(run, tokens_before)
        axes.plot(millions, losses, label=run.name)
    axes.set_xlabel("million tokens in all")
    axes.set_ylabel("training loss, nats per token")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=150)


def main() -> None:
    """Parse the arguments and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument(
        "--before", type=int, default=0, help="tokens of earlier runs that have no log"
    )
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    draw(options.runs, options.before, options.out)


if __name__ == "__main__":
    main()
