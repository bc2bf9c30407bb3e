"""Draw docs/images/scale.png from benchmarks/results/scale.json."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

PICTURE = Path("docs/images/scale.png")
PANELS = {
    "one core": "measured: one core, one text at a time",
    "1.5B": "assumed from data sheets: Qwen2.5-Coder-1.5B",
    "7B": "assumed from data sheets: Qwen2.5-Coder-7B",
}
HIGHEST_MS = 800
COLORS = ("#2a6f97", "#e9a23b", "#7a9e3b")


def draw(results: Path, picture: Path) -> None:
    """Keystroke to text by the number of people at one server: p50 solid, p90 dashed."""
    curves: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))["curves"]
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    for axes, (part, title) in zip(figure.subplots(1, 3, sharey=True), PANELS.items(), strict=True):
        named = [(name, points) for name, points in curves.items() if part in name]
        for color, (name, points) in zip(COLORS, named, strict=False):
            people = [point["people"] for point in points]
            label = name.removesuffix(", one core").split(", ")[-1]
            for quantile, style in (("p50", "-"), ("p90", "--")):
                waits = [point[f"typed_{quantile}_ms"] for point in points]
                axes.plot(people, waits, style, color=color, marker="o", markersize=3,
                          label=f"{label}, {quantile}")  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlim(0.8, 6000)
        axes.set_ylim(0, HIGHEST_MS)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("people typing at once at one server")
        axes.legend(fontsize=7, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("ms from keystroke to text")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    draw(Path("benchmarks/results/scale.json"), PICTURE)
