"""Draw learning curves: `python -m benchmarks.pretraining_plot DATA/run2 DATA/run3 --out PNG`.

Needs `matplotlib==3.11.2`. Tokens are counted on from one run to the next, as each began with the
weights of the one before it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

SMOOTHED = 60  # steps of one point


def curve(run: Path, before: int) -> tuple[list[float], list[float], int]:
    """Millions of tokens, mean losses in nats per token, and the tokens after the run."""
    steps = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    tokens, losses = [], []
    for start in range(0, len(steps), SMOOTHED):
        part = steps[start : start + SMOOTHED]
        tokens.append((before + part[-1]["tokens"]) / 1e6)
        losses.append(sum(step["loss"] for step in part) / len(part))
    return tokens, losses, before + steps[-1]["tokens"]


def draw(runs: Sequence[Path], before: int, out: Path) -> None:
    """One line for each run."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    for run in runs:
        tokens, losses, before = curve(run, before)
        axes.plot(tokens, losses, label=run.name)
    axes.set_xlabel("million tokens in all")
    axes.set_ylabel("training loss, nats per token")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=150)


def main() -> None:
    """Read the runs in order and draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--before", type=int, default=0, help="tokens of runs without a log here")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    draw(given.runs, given.before, given.out)


if __name__ == "__main__":
    main()
