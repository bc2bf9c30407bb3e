"""Acceptance: suggestions that are shown and right, and the characters that they save.

    python -m benchmarks.acceptance [--packages click,httpx] [--places 400]
        [--minutes 10 | --steps N] [--as-served] [--lora 10] [--calibrate]

Runs the serving pipeline with the automatic trigger at places of each held-out package's unseen
files (line ends, lines, first lines of blocks): without and with retrieved code; with `--minutes`
or `--steps` also with a prompt that is tuned for so long, and with another package's; with `--lora`
also with LoRA adapters that were tuned for so many minutes. `--as-served` leaves out what no editor
has, suggestions without retrieved code. The table also gives the figures without a threshold.
Results go to `benchmarks/results/acceptance.json`; prompts, and what a condition showed, are kept
in the cache and made once. `--calibrate` writes the shipped model's show thresholds, from all
packages with retrieval, into its `attune.json`.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.repositories import CACHE, repositories
from benchmarks.tuned_prompts import tuned_prompt
from code_context.context import ContextConfig
from code_context.retrieval import Retriever
from code_model.language_model import LanguageModel, TunableModel
from code_model.loading import load_tunable_model
from code_model.show_thresholds import ShowThresholds
from pretraining.package_lists import held_out
from prompts.file import PromptFile
from tuning.acceptance import (
    THRESHOLDS,
    Place,
    Replay,
    calibrate,
    replay,
    sample_places,
    saved_at_equal_wrong,
)
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.examples import indexed
from tuning.history import newest_lines
from tuning.job import recorded_job
from tuning.lora import tune_lora
from tuning.proof import BOTH, NO_PROMPT, OTHER, RETRIEVAL, THIS_PROMPT, Condition
from tuning.recorded import recorded_split
from tuning.split import split

RESULTS = Path("benchmarks/results/acceptance.json")
SEED = 1
WITH_EVERYTHING = np.concatenate(([-np.inf], THRESHOLDS))
"""The first of these thresholds shows every suggestion."""
OTHER_BOTH = f"{OTHER}another package + retrieval"
LORA_BOTH = "LoRA + retrieval"
COMPARISONS = (
    (RETRIEVAL, NO_PROMPT),
    (THIS_PROMPT, NO_PROMPT),
    (BOTH, RETRIEVAL),
    (OTHER_BOTH, RETRIEVAL),
    (BOTH, OTHER_BOTH),
    (LORA_BOTH, RETRIEVAL),
)
"""Conditions and what each is compared with."""
ALL = "all"


@dataclass(frozen=True)
class Package:
    """The places of one package, and its replays, which `cache` keeps."""

    name: str
    places: Sequence[Place]
    retriever: Retriever
    cache: Path

    @classmethod
    def of(cls, folder: Path, count: int, prompt: PromptFile | None, cache: Path) -> "Package":
        """Places of the files that the prompt's tuning held out, or would hold out."""
        corpus = collect(folder)
        if prompt is None:
            newest = newest_lines(folder, [file.path for file in corpus.files])
            test = split(corpus.files, SEED, newest).test
        else:
            test = recorded_split(corpus.files, prompt.manifest).test
        places = sample_places(test, count, SEED)
        return cls(folder.name, places, indexed(corpus.files), cache / "replays")

    def replay(
        self,
        label: str,
        condition: Condition | Callable[[], Condition],
        context: ContextConfig | None = None,
    ) -> Replay:
        """What a condition shows; `label` names all that the result depends on.

        `context` replaces that of the condition's prompt.

        A condition that takes long to make is given as a function, which is called if the cache has
        no replay of that label.
        """
        digest = hashlib.sha256(f"{label} {len(self.places)}".encode()).hexdigest()[:16]
        file = self.cache / f"{self.name}-{digest}.npz"
        paths = tuple(place.file.path for place in self.places)
        if not file.exists():
            one = condition if isinstance(condition, Condition) else condition()
            made = replay(
                one.model.open(one.prompt),
                self.places,
                self.retriever if one.retrieval else None,
                context,
                thresholds=WITH_EVERYTHING,
            )
            self.cache.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_suffix(".part.npz")
            np.savez_compressed(unfinished, saved=made.saved, wrong=made.wrong)
            unfinished.replace(file)
        with np.load(file) as stored:
            return Replay(paths, WITH_EVERYTHING, stored["saved"], stored["wrong"])


def measure(
    model: LanguageModel,
    package: Package,
    prompt: PromptFile | None = None,
    other: PromptFile | None = None,
    on_condition: Callable[[str], None] = lambda name: None,
    *,
    as_served: bool = False,
) -> dict[str, Replay]:
    """Replays by condition. `other` is another package's prompt, served with retrieval as well.

    `on_condition` is called with the name of each condition before it is measured. `as_served`
    leaves out those without retrieval, which no editor has.
    """
    conditions = {RETRIEVAL: Condition(model, None, retrieval=True)}
    if prompt is not None:
        conditions[BOTH] = Condition(model, prompt, retrieval=True)
    if other is not None:
        conditions[OTHER_BOTH] = Condition(model, other, retrieval=True)
    if not as_served:
        conditions[NO_PROMPT] = Condition(model)
    if not as_served and prompt is not None:
        conditions[THIS_PROMPT] = Condition(model, prompt)
    served = f"{model.identity} {model.runtime}"
    replays = {}
    for name, condition in conditions.items():
        on_condition(name)
        digest = "" if condition.prompt is None else condition.prompt.tensor_sha256
        label = f"{served} {digest} {condition.retrieval}"
        replays[name] = package.replay(label, condition)
    return replays


def measure_lora(
    model: TunableModel, package: Package, folder: Path, prompt: PromptFile, minutes: float
) -> Replay:
    """What LoRA shows with retrieval, tuned on the prompt's files for `minutes`."""

    def tuned() -> Condition:
        job = recorded_job(model, collect(folder), prompt.manifest)
        config = replace(job.config, minutes=minutes, steps=None)
        return Condition(tune_lora(model, job.examples, config), None, retrieval=True)

    label = f"{model.identity.model_fingerprint} {model.runtime} LoRA {minutes:g}"
    return package.replay(label, tuned)


def pooled(replays: Mapping[str, Mapping[str, Replay]]) -> dict[str, Replay]:
    """The places of all packages together, by condition that all of them have."""
    names = set.intersection(*(set(of_package) for of_package in replays.values()))
    return {
        name: Replay(
            tuple(
                f"{package}/{path}"
                for package, of_package in replays.items()
                for path in of_package[name].paths
            ),
            WITH_EVERYTHING,
            np.concatenate([of_package[name].saved for of_package in replays.values()]),
            np.concatenate([of_package[name].wrong for of_package in replays.values()]),
        )
        for name in sorted(names)
    }


def summary(replays: Mapping[str, Replay], model: LanguageModel) -> dict[str, Any]:
    """Figures of one package: scores at the three steps, the whole curve, and comparisons."""
    steps = model.show_thresholds.to_dict()
    conditions: dict[str, dict[str, Any]] = {}
    for name, one in replays.items():
        conditions[name] = {step: one.at(value).to_json() for step, value in steps.items()}
        conditions[name]["everything"] = one.at(-np.inf).to_json()
        conditions[name]["curve"] = [
            {"probability": round(float(np.exp(value)), 3), **one.at(value).to_json()}
            for value in THRESHOLDS
        ]
    compared = {
        f"{name} over {baseline}": saved_at_equal_wrong(
            replays[name], replays[baseline], model.show_thresholds, SEED
        ).to_json()
        for name, baseline in COMPARISONS
        if name in replays and baseline in replays
    }
    paths = replays[RETRIEVAL].paths
    return {
        "places": len(paths),
        "files": len(set(paths)),
        "conditions": conditions,
        "saved_by_gate": saved_by_gate(replays[RETRIEVAL]),
        "saved_at_equal_wrong": compared,
    }


def compare(replays: Mapping[str, Replay], baseline: str, steps: ShowThresholds) -> dict[str, Any]:
    """Scores of each condition at the balanced step, and its gain over `baseline`."""
    first = replays[baseline]
    return {
        "places": len(first.paths),
        "files": len(set(first.paths)),
        "conditions": {
            name: {
                **one.at(steps.balanced).to_json(),
                **saved_at_equal_wrong(one, first, steps, SEED).to_json(),
            }
            for name, one in replays.items()
        },
    }


def comparison_table(title: str, results: Mapping[str, Any]) -> Table:
    """A row for each package and condition of `compare`."""
    table = Table(title=title)
    for name in ("package", "", "shown", "right", "saved", "wrong", "gain"):
        table.add_column(name)
    for package, result in results.items():
        for name, row in result["conditions"].items():
            table.add_row(package, name, *score_cells(row), gain_text(row))
    return table


def saved_by_gate(replay: Replay) -> float:
    """Characters saved where a fifth as many are wrong as without a threshold, over those saved
    without one."""
    saved, wrong = replay.saved.sum(axis=0), replay.wrong.sum(axis=0)
    at_a_fifth = np.interp(wrong[0] / 5, np.maximum.accumulate(wrong[::-1]), saved[::-1])
    return round(float(at_a_fifth / max(saved[0], 1.0)), 3)


def show(results: Mapping[str, Any]) -> None:
    """The tables of all packages: what is shown, and comparisons."""
    console = Console(width=120)
    shown = Table(title="Suggestions at the balanced threshold; in brackets: everything shown")
    for name in ("package", "condition", "places", "shown", "right", "saved", "wrong"):
        shown.add_column(name)
    compared = Table(title="Characters saved at equally many wrong ones (95 % interval over files)")
    for name in ("package", "condition", "gain"):
        compared.add_column(name)
    for package, result in results.items():
        for name, scores in result["conditions"].items():
            cells = zip(
                score_cells(scores["balanced"]), score_cells(scores["everything"]), strict=True
            )
            both = (f"{now} ({all_})" for now, all_ in cells)
            shown.add_row(package, name, str(result["places"]), *both)
        for name, gain in result["saved_at_equal_wrong"].items():
            compared.add_row(package, name, gain_text(gain))
    console.print(shown)
    console.print(compared)
    gates = {package: result["saved_by_gate"] for package, result in results.items()}
    shares = ", ".join(f"{package} {share:.2f}" for package, share in gates.items())
    console.print(
        f"Characters saved at a fifth of the wrong ones, over those without a threshold: {shares}."
    )


def score_cells(scores: Mapping[str, float]) -> tuple[str, str, str, str]:
    """Of `AcceptanceScores.to_json`, for a table: shown, right, saved, wrong."""
    shown, right, saved, wrong = (scores[name] for name in ("shown", "right", "saved", "wrong"))
    return f"{shown:.0%}", f"{right:.0%}", f"{saved:.2f}", f"{wrong:.2f}"


def gain_text(gain: Mapping[str, Any]) -> str:
    """Of `Gain.to_json`, with its interval."""
    low, high = gain["gain_low"], gain["gain_high"]
    interval = "" if low is None else f" ({low:+.1%} to {high:+.1%})"
    return f"{gain['gain']:+.1%}{interval}"


def write_thresholds(model: LanguageModel, replays: Sequence[Replay]) -> None:
    """Calibrate the shipped model's show thresholds. Raises `SystemExit` if too little is shown."""
    file = model.folder / "attune.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    thresholds = calibrate(replays)
    if thresholds is None:
        raise SystemExit("too few suggestions were shown to calibrate by")
    description["show_thresholds"] = thresholds.to_dict()
    file.write_text(json.dumps(description, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    Console().print(description["show_thresholds"])


def prompt_config(steps: int | None, minutes: float | None) -> TuningConfig:
    """The recipe, for so many steps, or else minutes, if they are given."""
    if steps is None and minutes is not None:
        return TuningConfig(minutes=minutes)
    return TuningConfig(steps=steps)


def print_stage(package: str, condition: str) -> None:
    """Say on stderr what is measured now."""
    Console(stderr=True).print(f"{package}: {condition}", highlight=False)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packages", default=",".join(held_out()))
    parser.add_argument("--places", type=int, default=400)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--lora", type=float, metavar="MINUTES")
    parser.add_argument("--as-served", action="store_true")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    model = load_tunable_model()
    names = options.packages.split(",")
    folders = repositories(options.cache, names)
    prompts: dict[str, PromptFile] = {}
    if options.minutes is not None or options.steps is not None:
        config = prompt_config(options.steps, options.minutes)
        for name in names:
            prompts[name] = tuned_prompt(model, folders[name], config, options.cache)
    replays: dict[str, dict[str, Replay]] = {}
    for number, name in enumerate(names):
        prompt, other = prompts.get(name), prompts.get(names[number - 1])
        package = Package.of(folders[name], options.places, prompt, options.cache)
        replays[name] = measure(
            model,
            package,
            prompt,
            other if len(names) > 1 else None,
            partial(print_stage, name),
            as_served=options.as_served,
        )
        if options.lora is not None and prompt is not None:
            print_stage(name, LORA_BOTH)
            replays[name][LORA_BOTH] = measure_lora(
                model, package, folders[name], prompt, options.lora
            )
        results = {each: summary(of_package, model) for each, of_package in replays.items()}
        results[ALL] = summary(pooled(replays), model)
        recorded = {"runtime": asdict(model.runtime), "packages": results}
        text = json.dumps(recorded, indent=1, sort_keys=True) + "\n"
        options.results.write_text(text, encoding="utf-8")
    if options.calibrate:
        write_thresholds(model, [of_package[RETRIEVAL] for of_package in replays.values()])
    show(results)


if __name__ == "__main__":
    main()
