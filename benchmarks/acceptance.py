"""Acceptance: suggestions that are shown and right, and the characters that they save.

    python -m benchmarks.acceptance [--packages click,httpx] [--places 400] [--prompts]
    python -m benchmarks.acceptance --infilling FILE [--every 4] [--layouts NAME,NAME]
    python -m benchmarks.acceptance --calibrate

Runs the serving pipeline with the automatic trigger at places of each held-out package's unseen
files (line ends, lines, first lines of blocks): without and with retrieved code, and with
`--prompts` also with the prompt that `benchmarks.tuning` wrote there. The table also gives the
figures without a threshold. `--infilling` completes the lines
of HumanEval-Infilling (single line, a .jsonl.gz of MIT licence) with the bare model, the cursor at
column 0 and behind the indentation; `--every 4` takes every fourth, and `--layouts` compares FIM
templates (`code_model.fim_templates`), each with token healing and without. Results go to
`benchmarks/results/acceptance.json`. `--calibrate` writes the shipped model's show thresholds, from
all packages with retrieval, into its `attune.json`.
"""

import argparse
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.repositories import CACHE, repositories
from code_model.fim import FimEncoder
from code_model.fim_templates import named_template
from code_model.language_model import LanguageModel, Session
from code_model.loading import load_model
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from pretraining.corpus import packages
from prompts.file import DEFAULT_PROMPT, PromptFile, read_prompt
from tuning.acceptance import (
    THRESHOLDS,
    Replay,
    calibrate,
    replay,
    sample_places,
    saved_at_equal_wrong,
)
from tuning.corpus import collect
from tuning.examples import indexed
from tuning.history import newest_lines
from tuning.recorded import recorded_split
from tuning.split import split

RESULTS = Path("benchmarks/results/acceptance.json")
SEED = 1
WITH_EVERYTHING = np.concatenate(([-np.inf], THRESHOLDS))
"""The first of these thresholds shows every suggestion."""


def measure(
    model: LanguageModel, folder: Path, count: int, prompt: PromptFile | None = None
) -> dict[str, Replay]:
    """Replays of one package by condition."""
    corpus = collect(folder)
    if prompt is None:
        newest = newest_lines(folder, [file.path for file in corpus.files])
        test = split(corpus.files, SEED, newest).test
    else:
        test = recorded_split(corpus.files, prompt.manifest).test
    places = sample_places(test, count, SEED)
    retriever = indexed(corpus.files)
    sessions = {"no prompt": (model.open(), None), "retrieval": (model.open(), retriever)}
    if prompt is not None:
        sessions["this prompt"] = (model.open(prompt), None)
        sessions["this prompt + retrieval"] = (model.open(prompt), retriever)
    return {
        name: replay(session, places, others, thresholds=WITH_EVERYTHING)
        for name, (session, others) in sessions.items()
    }


def infilling(session: Session, file: Path, every: int) -> dict[str, Any]:
    """Shares of HumanEval-Infilling's lines that are answered (with any text) and exact, by where
    the cursor stands."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        tasks = [json.loads(line) for line in lines][::every]
    exact = {"column 0": 0, "after the indentation": 0}
    answered = dict.fromkeys(exact, 0)
    for task in track(tasks, "HumanEval-Infilling", console=Console(stderr=True)):
        expected = task["canonical_solution"].strip("\n")
        indent = expected[: len(expected) - len(expected.lstrip())]
        for cursor, typed in (("column 0", ""), ("after the indentation", indent)):
            before = task["prompt"] + typed
            point = CompletionPoint.parse(
                before + "\n" + task["suffix"], "solution.py", len(before)
            )
            suggested = complete(session, point, explicit=True).text
            answered[cursor] += bool(suggested)
            text = typed + suggested
            exact[cursor] += text.strip("\n").split("\n")[0].rstrip() == expected.rstrip()
    counts = {"answered": answered, "exact": exact}
    shares = {
        name: {cursor: round(count / len(tasks), 4) for cursor, count in by_cursor.items()}
        for name, by_cursor in counts.items()
    }
    return {"places": len(tasks), **shares}


def infilling_by_layout(
    model: Any, layouts: Sequence[str], file: Path, every: int
) -> dict[str, dict[str, Any]]:
    """`infilling` with each FIM template, with token healing and without."""
    results = {}
    for layout in layouts:
        template = named_template(layout, model.tokenizer.token_to_id)
        for healing in (False, True):
            encoder = FimEncoder(model.tokenizer, replace(template, token_healing=healing))
            name = f"{layout}, {'with' if healing else 'without'} token healing"
            session = replace(model, encoder=encoder).open()
            results[name] = infilling(session, file, every)
    return results


def summary(replays: dict[str, Replay], model: LanguageModel) -> dict[str, Any]:
    """Figures of one package: scores at the three steps, the whole curve, and comparisons."""
    steps = model.show_thresholds.to_dict()
    conditions = {}
    for name, one in replays.items():
        conditions[name] = {step: one.at(value).to_json() for step, value in steps.items()}
        conditions[name]["everything"] = one.at(-np.inf).to_json()
        conditions[name]["curve"] = [
            {"probability": round(float(np.exp(value)), 3), **one.at(value).to_json()}
            for value in THRESHOLDS
        ]
    balanced = model.show_thresholds.balanced
    compared = {
        f"{name} over {baseline}": saved_at_equal_wrong(
            replays[name], replays[baseline], balanced, SEED
        ).to_json()
        for name, baseline in (
            ("retrieval", "no prompt"),
            ("this prompt", "no prompt"),
            ("this prompt + retrieval", "retrieval"),
        )
        if name in replays
    }
    return {
        "places": len(replays["no prompt"].paths),
        "files": len(set(replays["no prompt"].paths)),
        "conditions": conditions,
        "saved_at_equal_wrong": compared,
    }


def show(results: dict[str, Any]) -> None:
    """The table of all packages at the balanced step."""
    table = Table(title="Suggestions at the balanced threshold; in brackets: everything shown")
    for name in ("package", "condition", "places", "shown", "right", "saved", "wrong"):
        table.add_column(name)
    for package, result in results["packages"].items():
        for name, scores in result["conditions"].items():
            now, all_ = scores["balanced"], scores["everything"]
            table.add_row(
                package,
                name,
                str(result["places"]),
                f"{now['shown']:.0%} ({all_['shown']:.0%})",
                f"{now['right']:.0%} ({all_['right']:.0%})",
                f"{now['saved']:.2f} ({all_['saved']:.2f})",
                f"{now['wrong']:.2f} ({all_['wrong']:.2f})",
            )
    Console().print(table)


def _write(results: dict[str, Any], file: Path) -> None:
    file.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packages", default=",".join(packages()[1]))
    parser.add_argument("--places", type=int, default=400)
    parser.add_argument("--prompts", action="store_true")
    parser.add_argument("--infilling", type=Path)
    parser.add_argument("--layouts")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    model = load_model()
    results = {"packages": {}}
    if options.results.is_file():
        results = json.loads(options.results.read_text(encoding="utf-8"))
    if options.infilling is not None:
        file, every = options.infilling, options.every
        if options.layouts is None:
            results["infilling"] = infilling(model.open(), file, every)
        else:
            names = options.layouts.split(",")
            results["infilling"] = infilling_by_layout(model, names, file, every)
        _write(results, options.results)
        Console().print(results["infilling"])
        return
    names = options.packages.split(",")
    folders = repositories(options.cache, names)
    with_retrieval = []
    for name in track(names, "Packages", console=Console(stderr=True)):
        prompt = read_prompt(folders[name] / DEFAULT_PROMPT) if options.prompts else None
        replays = measure(model, folders[name], options.places, prompt)
        with_retrieval.append(replays["retrieval"])
        results["packages"][name] = summary(replays, model)
        _write(results, options.results)
    if options.calibrate:
        file = model.folder / "attune.json"
        description = json.loads(file.read_text(encoding="utf-8"))
        thresholds = calibrate(with_retrieval)
        if thresholds is None:
            raise SystemExit("too few suggestions were shown to calibrate by")
        description["show_thresholds"] = thresholds.to_dict()
        file.write_text(json.dumps(description, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        Console().print(description["show_thresholds"])
    show(results)


if __name__ == "__main__":
    main()
