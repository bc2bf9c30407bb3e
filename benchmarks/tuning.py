"""What tuning gains on packages that the default model has never seen, beside its controls.

    python -m benchmarks.tuning [--minutes 10] [--packages celery,networkx] [--lora] [--cache DIR]
    python -m benchmarks.tuning --controls [--minutes 4]

The packages are those of `pretraining/packages` that were held out whole. Each is tuned on,
and the prompt is proved on its unseen files beside no prompt, prompts of two other packages, a
generic one, retrieval, both, and with `--lora` LoRA by PEFT at equal time. Also measured are bits
per byte of whole unseen files, left to right, and what the prompt costs in another package, used
there always or only where it fits the file, as the server does.

Results are kept in DIR after every step; run again, it continues from there. A finished package
enters `benchmarks/results/tuning.json`; results of another model or time are replaced when all
packages are finished. `--controls` tunes the shipped controls anew: once for every new default
model, before anything else.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.repositories import CACHE, repositories
from benchmarks.tuning_gain import gain_elsewhere, gain_of_lora, gain_on_own, tune_and_prove
from code_model.language_model import TunableModel
from code_model.loading import load_tunable_model
from pretraining.package_lists import held_out
from prompts.file import SUFFIX, read_prompt, write_prompt
from tuning import controls
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.run import tune

CONTROLS = {"networkx": "BSD-3-Clause", "rich": "MIT"}
"""Packages whose prompts are shipped as controls, with their licences."""
GENERIC_LICENCE = "PSF-2.0"
UNRELATED = ("rich", "httpx")
"""A package is measured with the first of these that it is not."""
RESULTS = Path("benchmarks/results/tuning.json")
COLUMNS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "middle saved": lambda result: result["tuned"]["proof"]["gain"],
    "low": lambda result: result["tuned"]["proof"]["gain_low"],
    "files saved": lambda result: result["tuned"]["files_gain"],
    "specific": lambda result: result["tuned"]["proof"]["specificity"],
    "others' worst": lambda result: min(
        condition["gain"]
        for name, condition in result["tuned"]["proof"]["arms"].items()
        if name.startswith("prompt of ")
    ),
    "retrieval": lambda result: result["tuned"]["proof"]["arms"]["retrieval only"]["gain"],
    "both over it": lambda result: result["tuned"]["proof"]["over_retrieval"]["gain"],
    "share by 3 min": lambda result: result["tuned"]["early_share"],
    "as served": lambda result: result["own"]["served"][0],
    "elsewhere": lambda result: result["unrelated"]["always"][0],
    "elsewhere as served": lambda result: result["unrelated"]["served"][0],
    "LoRA": lambda result: result["lora"]["gain"],
    "LoRA elsewhere": lambda result: result["lora"]["unrelated"],
}


def make_controls(model: TunableModel, folders: dict[str, Path], config: TuningConfig) -> None:
    """Tune the prompts that every proof compares with, and put them into the package.

    Raises `SystemExit` if one is not written.
    """
    for old in controls.FOLDER.glob(f"*{SUFFIX}"):
        old.unlink()
    controls.FOLDER.mkdir(exist_ok=True)
    for name, licence in {**CONTROLS, controls.GENERIC_NAME: GENERIC_LICENCE}.items():
        report = tune(model, collect(folders[name]), None, config, lambda progress: None)
        if report.written is None:
            raise SystemExit(f"no prompt was written for {name}")
        prompt = read_prompt(report.written)
        licensed = replace(prompt, manifest=replace(prompt.manifest, licence=licence))
        write_prompt(controls.FOLDER / f"{name}{SUFFIX}", licensed)


def measure(
    model: TunableModel,
    folders: dict[str, Path],
    names: Sequence[str],
    config: TuningConfig,
    cache: Path,
    *,
    lora: bool,
) -> dict[str, Any]:
    """The results of the packages; what the cache has is not measured again."""
    fingerprint = model.identity.model_fingerprint[:12]
    path = cache / f"results-{fingerprint}-{config.minutes:g}.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    console = Console(stderr=True)

    def keep(name: str, key: str, work: Callable[[], Any]) -> None:
        entry = results.setdefault(name, {})
        if key not in entry:
            started = time.monotonic()
            entry[key] = work()
            path.write_text(json.dumps(results, indent=1))
            console.print(f"{name}: {key} in {time.monotonic() - started:.0f} s", highlight=False)

    for name in names:
        folder = folders[name]
        elsewhere = folders[next(other for other in UNRELATED if other != name)]
        # a package that is a control is compared with another package in place of itself
        others = [other for other in results if other != name and name in CONTROLS][:1]
        against = [read_prompt(Path(results[other]["tuned"]["prompt"])) for other in others]
        keep(name, "tuned", lambda: tune_and_prove(model, folder, config, against))  # noqa: B023
        prompt = read_prompt(Path(results[name]["tuned"]["prompt"]))
        keep(name, "unrelated", lambda: gain_elsewhere(model, elsewhere, prompt, config))  # noqa: B023
        keep(name, "own", lambda: gain_on_own(model, folder, prompt))  # noqa: B023
        if lora:
            keep(name, "lora", lambda: gain_of_lora(model, folder, elsewhere, config))  # noqa: B023
    return {name: results[name] for name in names}


def record(
    results: dict[str, Any], minutes: float, model: TunableModel, path: Path = RESULTS
) -> None:
    """Enter the packages into the results file, without this machine's paths.

    Packages of the same model, time and number of threads are added; others are replaced once all
    packages are there.
    """
    run: dict[str, Any] = {
        "minutes": minutes,
        "threads": torch.get_num_threads(),
        "model_fingerprint": model.identity.model_fingerprint[:12],
    }
    recorded = json.loads(path.read_text(encoding="utf-8"))
    others = recorded["packages"] if run.items() <= recorded.items() else {}
    new = {
        name: {**result, "tuned": {**result["tuned"], "prompt": _name(result["tuned"]["prompt"])}}
        for name, result in results.items()
    }
    if (others | new).keys() >= set(held_out()):
        path.write_text(
            json.dumps({**run, "packages": others | new}, indent=1) + "\n", encoding="utf-8"
        )
        print(path)


def _name(path: str) -> str:
    return Path(path).name


def show(results: dict[str, Any]) -> None:
    """The table: each package, median and worst."""
    table = Table(title="Share of bits saved on unseen files")
    table.add_column("package")
    for title in COLUMNS:
        table.add_column(title, justify="right")
    gathered: dict[str, list[float]] = {title: [] for title in COLUMNS}
    for name, result in results.items():
        cells = []
        for title, value_of in COLUMNS.items():
            try:
                value = value_of(result)
            except (KeyError, TypeError, ValueError):  # not measured, or without such a control
                value = None
            if value is not None:
                gathered[title].append(value)
            cells.append("" if value is None else f"{value:+.1%}")
        table.add_row(name, *cells)
    for title, summary in (("median", statistics.median), ("worst", min)):
        table.add_row(
            title, *(f"{summary(values):+.1%}" if values else "" for values in gathered.values())
        )
    Console(width=150).print(table)


def main() -> None:
    """Measure what is not in the results yet, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--packages", default=",".join(held_out()))
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args()
    names = list(CONTROLS) if options.controls else options.packages.split(",")
    model = load_tunable_model()
    folders = repositories(options.cache, [*names, *UNRELATED])
    config = TuningConfig(minutes=options.minutes)
    if options.controls:
        make_controls(model, folders, config)
        return
    results = measure(model, folders, names, config, options.cache, lora=options.lora)
    show(results)
    record(results, options.minutes, model)


if __name__ == "__main__":
    main()
