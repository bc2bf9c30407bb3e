"""Draw docs/images/acceptance.png.

python -m benchmarks.acceptance_plot [benchmarks/results/acceptance_ten_minutes.json]
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.acceptance import ALL, OTHER_BOTH
from tuning.proof import BOTH, NO_PROMPT, RETRIEVAL

RESULTS = Path(__file__).parent / "results" / "acceptance_ten_minutes.json"
PICTURE = Path("docs/images/acceptance.png")
LOOKS = {
    BOTH: ("this repository's prompt", "#2a6f97"),
    OTHER_BOTH: ("another repository's prompt", "#e9a23b"),
    RETRIEVAL: ("no prompt", "#777777"),
    NO_PROMPT: ("no prompt, the open file alone", "#bbbbbb"),
}
"""Label and colour of each condition."""
MOST_WRONG = 5.0  # characters per place that the curves are drawn to


def draw(results: Path, picture: Path) -> None:
    """Curves over the threshold, of all packages together, beside the gain of each package."""
    packages: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))["packages"]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    curves, gains = figure.subplots(1, 2, width_ratios=(1, 1.2))
    _curves(curves, packages[ALL]["conditions"])
    _gains(gains, packages)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150)


def _curves(axes: Axes, conditions: dict[str, Any]) -> None:
    for name, (label, colour) in LOOKS.items():
        if name in conditions:
            curve = [point for point in conditions[name]["curve"] if point["wrong"] <= MOST_WRONG]
            wrong, saved = ([point[key] for point in curve] for key in ("wrong", "saved"))
            axes.plot(wrong, saved, color=colour, label=label)
    steps = conditions[RETRIEVAL]
    for step in ("eager", "balanced", "sure"):
        at = steps[step]["wrong"], steps[step]["saved"]
        axes.plot(*at, "o", color=LOOKS[RETRIEVAL][1])
        axes.annotate(step, at, xytext=(4, -10), textcoords="offset points", fontsize=8)
    axes.set_xlabel("wrong characters shown per place")
    axes.set_ylabel("characters saved per place")
    axes.set_title("What an editor shows, all packages", fontsize=10)
    axes.legend(fontsize=8, loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _gains(axes: Axes, packages: dict[str, Any]) -> None:
    names = [name for name in reversed(packages) if name != ALL]
    for number, condition in enumerate((BOTH, OTHER_BOTH)):
        label, colour = LOOKS[condition]
        for row, name in enumerate([ALL, *names]):
            compared = packages[name]["saved_at_equal_wrong"].get(f"{condition} over {RETRIEVAL}")
            if compared is None:
                continue
            mean = 100 * compared["gain"]
            ends = [[mean - 100 * compared["gain_low"]], [100 * compared["gain_high"] - mean]]
            axes.errorbar(
                mean, row + 0.3 * (0.5 - number), xerr=ends, fmt="o", color=colour,
                label=label if name == ALL else None,
            )  # fmt: skip
    axes.set_yticks(range(len(names) + 1), ["all", *names])
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_xlabel("% more characters saved, where as many are wrong (95 % intervals)")
    axes.set_title("With a prompt, against none; both with retrieval", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS, PICTURE)
