"""Draw a scaling fit: `python -m benchmarks.pretraining_scaling_plot DATA/scaling.json --out PNG`.

The runs of `python -m pretraining scaling`, and what the fit expects of every size after the time
of those runs and after that of the recipe.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pretraining.scaling import Fit, Point

REACH = 4.0  # the curves go on to so many times the smallest and largest run


def draw(results: Path, picture: Path) -> None:
    """Loss over parameters: points, and a curve for each time."""
    content = json.loads(results.read_text(encoding="utf-8"))
    points = [Point(**point) for point in content["points"]]
    found = Fit(**content["fit"])
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    sizes = [point.parameters for point in points]
    curve = np.geomspace(min(sizes) / REACH, REACH * max(sizes), 200)
    measured_s = points[0].tokens / points[0].speed
    for seconds in (measured_s, 60.0 * content["minutes"]):
        axes.plot(curve, found.loss(curve, seconds), label=f"{seconds / 60:.3g} minutes, expected")
    axes.plot(sizes, [point.loss for point in points], "o", label="runs")
    axes.set_xscale("log")
    axes.set_xlabel("parameters")
    axes.set_ylabel("training loss, nats per token")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=150)


def main() -> None:
    """Parse the arguments and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    draw(options.results, options.out)


if __name__ == "__main__":
    main()
