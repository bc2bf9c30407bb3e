"""Draw docs/images/latency.png from benchmarks/results/latency.json."""

import json
from pathlib import Path

from matplotlib.figure import Figure

RESULTS = Path("benchmarks/results/latency.json")
PICTURE = Path("docs/images/latency.png")


def main() -> None:
    """Bars of the median call, shortest on top, with whiskers to the 90th percentile."""
    read = json.loads(RESULTS.read_text(encoding="utf-8"))
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    parts = figure.subplots(2, 1, height_ratios=(len(read["default"]), len(read["0.5B"]) + 0.5))
    titles = ("default model (6.9M)", "shape of Qwen2.5-Coder-0.5B, random weights, no drafts")
    for axes, rows, title in zip(parts, (read["default"], read["0.5B"]), titles, strict=True):
        rows = sorted(rows, key=lambda row: row["median_ms"], reverse=True)
        names = [row["name"] for row in rows]
        medians = [row["median_ms"] for row in rows]
        to_p90 = [max(0.0, row["p90_ms"] - row["median_ms"]) for row in rows]
        own = ["#2a6f97" if name.startswith("attune") else "#bbbbbb" for name in names]
        axes.barh(names, medians, xerr=([0.0] * len(rows), to_p90), color=own, ecolor="#777777")
        for n, row in enumerate(rows):
            axes.annotate(
                f"{row['median_ms']:.0f} ms, ×{row['ratio']:.1f}", (row["p90_ms"], n),
                xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.18)
        axes.spines[["top", "right"]].set_visible(False)
    parts[-1].set_xlabel(
        f"ms for one line: about {read['prompt_tokens']:.0f} tokens of context, two keystrokes on, "
        f"{read['new_tokens']} new tokens, {read['threads']} thread(s)"
    )
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
