"""Draw docs/images/tuning.png and fitting.png from benchmarks/results/tuning.json and
tuning_studies.json."""

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
PICTURES = Path("docs/images")
OWN, LORA, BOTH, OTHERS = "#2a6f97", "#e9a23b", "#a9d6e5", "#bbbbbb"


def draw(results: Path, pictures: Path) -> None:
    """Two pictures: gains beside their controls, and gains on a file's own text."""
    packages: dict[str, Any] = json.loads((results / "tuning.json").read_text())["packages"]
    studies: dict[str, Any] = json.loads((results / "tuning_studies.json").read_text())
    pictures.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1.5, 1))
    _gain_by_package(figure.add_subplot(grid[:, 0]), packages)
    _gain_by_minutes(figure.add_subplot(grid[0, 1]), packages)
    _gain_by_files(figure.add_subplot(grid[1, 1]), studies)
    _gain_by_model(figure.add_subplot(grid[2, 1]), studies)
    figure.savefig(pictures / "tuning.png", dpi=150)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    if any("lora" in package for package in packages.values()):
        grid = figure.add_gridspec(1, 2, width_ratios=(1, 1.5))
        _beside_lora(figure.add_subplot(grid[0]), packages)
        _prompt_fit(figure.add_subplot(grid[1]), packages)
    else:
        _prompt_fit(figure.add_subplot(), packages)
    figure.savefig(pictures / "fitting.png", dpi=150)


def _gain_by_package(axes: Axes, packages: dict[str, Any]) -> None:
    for row, package in enumerate(packages.values()):
        proof = package["tuned"]["proof"]
        conditions = proof["arms"]
        others = [
            result["gain"] for name, result in conditions.items() if name.startswith("prompt of ")
        ]
        gain = proof["gain"]
        # a single unseen file gives no interval
        low, high = (
            gain if proof[key] is None else proof[key] for key in ("gain_low", "gain_high")
        )
        bars = [
            ("this prompt", OWN, gain),
            ("this prompt with retrieval", BOTH, conditions["this prompt + retrieval"]["gain"]),
            ("other packages' prompts", OTHERS, sum(others) / max(1, len(others))),
        ]
        for number, (label, color, value) in enumerate(bars):
            interval = [[100 * (gain - low)], [100 * (high - gain)]] if not number else None
            axes.barh(row + 0.26 * (1 - number), 100 * value, 0.24, color=color, xerr=interval,
                      ecolor="#555555", label=None if row else label)  # fmt: skip
    axes.set_yticks(range(len(packages)), list(packages))
    axes.axvline(0, color="#555555", linewidth=0.8)
    _finish(axes, "bits saved on unseen files, %, with 95 % intervals")


def _gain_by_minutes(axes: Axes, packages: dict[str, Any]) -> None:
    for name, package in packages.items():
        seconds, gains = zip(*package["tuned"]["curve"], strict=True)
        axes.plot([each / 60 for each in seconds], [100 * gain for gain in gains], label=name)
    _finish(axes, "on validation files, %, by minutes of tuning")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _gain_by_files(axes: Axes, studies: dict[str, Any]) -> None:
    for title, rows in studies.items():
        if title.startswith("curve"):
            sizes = [int(name.split()[0]) for name in rows]
            axes.plot(sizes, [100 * row["gain"][0] for row in rows.values()], "o-",
                      label=title.removeprefix("curve: "))  # fmt: skip
    axes.set_xscale("log")
    _finish(axes, "bits saved on unseen files, %, by files to tune on")


def _gain_by_model(axes: Axes, studies: dict[str, Any]) -> None:
    for title, rows in studies.items():
        if title.startswith("models"):
            losses = [row["bits_per_byte"] for row in rows.values()]
            for key, label in (("gain", "the prompt"), ("over_retrieval", "beside retrieval")):
                gains = [100 * row[key][0] for row in rows.values()]
                axes.plot(losses, gains, "o-", label=f"{label}, {title.removeprefix('models: ')}")
            for name, x, y in zip(rows, losses, gains, strict=True):
                axes.annotate(name.split()[0], (x, y), (0, -13), textcoords="offset points",
                              ha="center", fontsize=7)  # fmt: skip
            axes.invert_xaxis()  # better models to the right
    axes.margins(y=0.2)
    _finish(axes, "bits saved, %, by the base model's bits per byte (with tokens)")


def _beside_lora(axes: Axes, packages: dict[str, Any]) -> None:
    compared = {name: package for name, package in packages.items() if "lora" in package}
    for row, package in enumerate(compared.values()):
        bars = (
            ("this prompt", OWN, package["tuned"]["proof"]["gain"]),
            ("LoRA, the same time", LORA, package["lora"]["gain"]),
        )
        for number, (label, color, value) in enumerate(bars):
            axes.barh(row + 0.18 - 0.36 * number, 100 * value, 0.34, color=color,
                      label=None if row else label)  # fmt: skip
    axes.set_yticks(range(len(compared)), list(compared))
    _finish(axes, "bits saved on unseen files, %")


def _prompt_fit(axes: Axes, packages: dict[str, Any]) -> None:
    for row, package in enumerate(packages.values()):
        for side, color, label, shift in (
            ("own", OWN, "unseen files of its own repository", 0.15),
            ("unrelated", LORA, "files of another one", -0.15),
        ):
            gains = [100 * gain for gain in package[side]["texts"] if gain is not None]
            axes.plot(gains, [row + shift] * len(gains), "|", color=color, markersize=8, alpha=0.5,
                      label=None if row else label)  # fmt: skip
    axes.set_yticks(range(len(packages)), list(packages))
    axes.axvline(0, color="#555555", linewidth=0.8)
    _finish(axes, "bits saved on a file's own text, %: below 0 the prompt is left out")
    axes.legend(fontsize=8, loc="center right")


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(RESULTS, PICTURES)
