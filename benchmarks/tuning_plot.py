"""Draw docs/images/tuning.png and fitting.png from benchmarks/results/tuning.json and
tuning_studies.json."""

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

RESULTS = Path("benchmarks/results")
PICTURE = Path("docs/images/tuning.png")
FITTING = Path("docs/images/fitting.png")
OWN, LORA, BOTH, OTHERS = "#2a6f97", "#e9a23b", "#a9d6e5", "#bbbbbb"


def main() -> None:
    """Two pictures: gains with their controls, and how a file's own text sorts."""
    packages: dict[str, Any] = json.loads((RESULTS / "tuning.json").read_text())["packages"]
    studies: dict[str, Any] = json.loads((RESULTS / "tuning_studies.json").read_text())
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1.5, 1))
    _packages(figure.add_subplot(grid[:, 0]), packages)
    _while_tuning(figure.add_subplot(grid[0, 1]), packages)
    _by_files(figure.add_subplot(grid[1, 1]), studies)
    _by_models(figure.add_subplot(grid[2, 1]), studies)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=150)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    if any("lora" in one for one in packages.values()):
        grid = figure.add_gridspec(1, 2, width_ratios=(1, 1.5))
        _beside_lora(figure.add_subplot(grid[0]), packages)
        _fitting(figure.add_subplot(grid[1]), packages)
    else:
        _fitting(figure.add_subplot(), packages)
    figure.savefig(FITTING, dpi=150)


def _packages(axes: Axes, packages: dict[str, Any]) -> None:
    for row, one in enumerate(packages.values()):
        proof = one["tuned"]["proof"]
        arms = proof["arms"]
        theirs = [arm["gain"] for name, arm in arms.items() if name.startswith("prompt of ")]
        gain = proof["gain"]
        # a single unseen file gives no interval
        low, high = (
            gain if proof[key] is None else proof[key] for key in ("gain_low", "gain_high")
        )
        bars = [
            ("this prompt", OWN, gain),
            ("this prompt with retrieval", BOTH, arms["this prompt + retrieval"]["gain"]),
            ("other packages' prompts", OTHERS, sum(theirs) / max(1, len(theirs))),
        ]
        for number, (label, color, value) in enumerate(bars):
            doubt = [[100 * (gain - low)], [100 * (high - gain)]] if not number else None
            axes.barh(row + 0.26 * (1 - number), 100 * value, 0.24, color=color, xerr=doubt,
                      ecolor="#555555", label=None if row else label)  # fmt: skip
    axes.set_yticks(range(len(packages)), list(packages))
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_title("bits saved on unseen files, %, with 95 % intervals", fontsize=10)
    axes.legend(fontsize=8, loc="best")
    axes.spines[["top", "right"]].set_visible(False)


def _while_tuning(axes: Axes, packages: dict[str, Any]) -> None:
    for name, one in packages.items():
        seconds, gains = zip(*one["tuned"]["curve"], strict=True)
        axes.plot([each / 60 for each in seconds], [100 * gain for gain in gains], label=name)
    axes.set_title("on validation files, %, by minutes of tuning", fontsize=10)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)


def _by_files(axes: Axes, studies: dict[str, Any]) -> None:
    for title, rows in studies.items():
        if title.startswith("curve"):
            sizes = [int(name.split()[0]) for name in rows]
            axes.plot(sizes, [100 * row["gain"][0] for row in rows.values()], "o-",
                      label=title.removeprefix("curve: "))  # fmt: skip
    axes.set_xscale("log")
    axes.set_title("bits saved on unseen files, %, by files to tune on", fontsize=10)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _by_models(axes: Axes, studies: dict[str, Any]) -> None:
    for title, rows in studies.items():
        if title.startswith("models"):
            known = [row["bits_per_byte"] for row in rows.values()]
            for key, label in (("gain", "the prompt"), ("over_retrieval", "beside retrieval")):
                gains = [100 * row[key][0] for row in rows.values()]
                axes.plot(known, gains, "o-", label=f"{label}, {title.removeprefix('models: ')}")
            for name, x, y in zip(rows, known, gains, strict=True):
                axes.annotate(name.split()[0], (x, y), (0, -13), textcoords="offset points",
                              ha="center", fontsize=7)  # fmt: skip
            axes.invert_xaxis()  # better models to the right
    axes.margins(y=0.2)
    axes.set_title("bits saved, %, by the base model's bits per byte (with tokens)", fontsize=10)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _beside_lora(axes: Axes, packages: dict[str, Any]) -> None:
    both = [(name, one) for name, one in packages.items() if "lora" in one]
    for row, (_, one) in enumerate(both):
        bars = (
            ("this prompt", OWN, one["tuned"]["proof"]["gain"]),
            ("LoRA, the same time", LORA, one["lora"]["gain"]),
        )
        for number, (label, color, value) in enumerate(bars):
            axes.barh(row + 0.18 - 0.36 * number, 100 * value, 0.34, color=color,
                      label=None if row else label)  # fmt: skip
    axes.set_yticks(range(len(both)), [name for name, _ in both])
    axes.set_title("bits saved on unseen files, %", fontsize=10)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _fitting(axes: Axes, packages: dict[str, Any]) -> None:
    for row, one in enumerate(packages.values()):
        for side, color, label, shift in (
            ("own", OWN, "unseen files of its own repository", 0.15),
            ("unrelated", LORA, "files of another one", -0.15),
        ):
            gains = [100 * gain for gain in one[side]["texts"] if gain is not None]
            axes.plot(gains, [row + shift] * len(gains), "|", color=color, markersize=8, alpha=0.5,
                      label=None if row else label)  # fmt: skip
    axes.set_yticks(range(len(packages)), list(packages))
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_title(
        "bits saved on a file's own text, %: below 0 the prompt is left out",
        fontsize=10,
    )
    axes.legend(fontsize=8, loc="center right")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
