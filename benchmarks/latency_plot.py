"""Draw docs/images/latency.png from benchmarks/results/latency.json."""

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results" / "latency.json"
PICTURE = Path("docs/images/latency.png")
TITLES = {
    "default": "default model (22.5M)",
    "0.5B": "shape of Qwen2.5-Coder-0.5B, random weights, no drafts",
}


def draw(results: Path, picture: Path) -> None:
    """Bars of the median call, shortest on top, with whiskers to the 90th percentile."""
    latency: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    measured = [stage for stage in TITLES if stage in latency]
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    heights = [len(latency[stage]) + 0.5 * (stage != "default") for stage in measured]
    grid = figure.subplots(len(measured), 1, height_ratios=heights, squeeze=False)
    for axes, stage in zip(grid[:, 0], measured, strict=True):
        _bars(axes, latency[stage])
        axes.set_title(TITLES[stage], fontsize=10)
    grid[-1, 0].set_xlabel(
        f"ms for one line: about {latency['prompt_tokens']:.0f} tokens of context, two keystrokes "
        f"on, {latency['new_tokens']} new tokens, {latency['threads']} thread(s)"
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150)


def _bars(axes: Axes, rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda row: row["median_ms"], reverse=True)
    names = [row["name"] for row in rows]
    medians = [row["median_ms"] for row in rows]
    to_p90 = [max(0.0, row["p90_ms"] - row["median_ms"]) for row in rows]
    colors = ["#2a6f97" if name.startswith("attune") else "#bbbbbb" for name in names]
    axes.barh(names, medians, xerr=([0.0] * len(rows), to_p90), color=colors, ecolor="#777777")
    for n, row in enumerate(rows):
        axes.annotate(
            f"{row['median_ms']:.0f} ms, ×{row['ratio']:.1f}", (row["p90_ms"], n),
            xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(RESULTS, PICTURE)
