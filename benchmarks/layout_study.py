"""Whether a tuned prompt teaches a model without infilling to use what follows the cursor.

    python -m benchmarks.layout_study MODEL [--package click] [--steps 60] [--places 120]

MODEL is a model folder (a GGUF file's folder is tuned on its weights dequantised). One prompt is
tuned with each layout, left to right with what follows the cursor in front as a piece of the same
file, and without it, for the same steps on the same files. Bits are those of the same hidden pieces
of unseen files, without retrieved code and with it; characters are those saved at the same places.
Results go to `benchmarks/results/layout_study.json`. A run that was ended goes on where it was:
prompts and replays stay in the cache.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.acceptance import Package
from benchmarks.acceptance import measure as measure_acceptance
from benchmarks.repositories import CACHE, repositories
from benchmarks.smollm2 import RECIPE
from benchmarks.tuned_prompts import tuned_prompt
from benchmarks.tuning_gain import SEED, interval
from code_model.fim_templates import LEFT_TO_RIGHT, LEFT_TO_RIGHT_WITH_SUFFIX
from code_model.loading import load_tunable_model
from code_model.model_choice import ModelChoice
from code_model.show_thresholds import ShowThresholds
from prompts.form import Form
from tuning.acceptance import Replay, saved_at_equal_wrong
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.evaluate import bits_per_byte, paired_gain, total_nats
from tuning.examples import HeldOutHole
from tuning.job import recorded_job
from tuning.proof import BOTH, RETRIEVAL

RESULTS = Path("benchmarks/results/layout_study.json")
PLAIN, SUFFIX = LEFT_TO_RIGHT, LEFT_TO_RIGHT_WITH_SUFFIX
Condition = tuple[str, str]
"""With the prompt or without, and with retrieved code or without."""


@dataclass(frozen=True)
class Measured:
    """One layout: nats of each hole by condition, and what is shown at the places."""

    holes: Sequence[HeldOutHole]
    nats: dict[Condition, NDArray[np.float64]]
    replays: dict[str, Replay]
    steps_of_sureness: ShowThresholds


def measure(model: Path, layout: str, folder: Path, config: TuningConfig, cache: Path) -> Measured:
    """Tune with a layout, and measure with it."""
    tunable = load_tunable_model(ModelChoice(model, layout=layout))
    prompt = tuned_prompt(tunable, folder, config, cache)
    job = recorded_job(tunable, collect(folder), prompt.manifest)
    holes = job.test_holes(job.retriever)
    prefixes = {
        "no prompt": tunable.bare_prefix(),
        "this prompt": tunable.prefix_of(torch.from_numpy(prompt.embeddings), config.form),
    }
    examples = {
        "alone": [hole.example for hole in holes],
        "retrieval": [hole.retrieved or hole.example for hole in holes],
    }
    nats = {
        (name, code): total_nats(tunable.score(prefix, chosen))
        for name, prefix in prefixes.items()
        for code, chosen in examples.items()
    }
    places = Package.of(folder, config.proof_places, prompt, cache)
    replays = measure_acceptance(tunable, places, prompt, as_served=True)
    of_prompts = {"no prompt": replays[RETRIEVAL], "this prompt": replays[BOTH]}
    return Measured(holes, nats, of_prompts, tunable.show_thresholds)


def compared(plain: Measured, suffix: Measured) -> dict[str, Any]:
    """Bits per byte of each layout, and what the suffix in front saves, with 95 % intervals."""
    if [(hole.file.path, hole.hole) for hole in plain.holes] != [
        (hole.file.path, hole.hole) for hole in suffix.holes
    ]:
        raise ValueError("the layouts were measured on different holes")
    bits = {
        " + ".join(condition): {
            PLAIN: round(bits_per_byte(plain.nats[condition], plain.holes), 5),
            SUFFIX: round(bits_per_byte(suffix.nats[condition], suffix.holes), 5),
            "saved": interval(
                paired_gain(plain.nats[condition], suffix.nats[condition], plain.holes, SEED)
            ),
        }
        for condition in plain.nats
    }
    characters = {
        name: interval(
            saved_at_equal_wrong(
                suffix.replays[name], plain.replays[name], plain.steps_of_sureness, SEED
            )
        )
        for name in plain.replays
    }
    return {
        "holes": len(plain.holes),
        "places": len(plain.replays["no prompt"].paths),
        "bits_per_byte": bits,
        "characters_saved": characters,
    }


def show(result: dict[str, Any]) -> None:
    """The bits as a table, and the characters below it."""
    table = Table(title=f"bits per byte of {result['holes']} hidden pieces of unseen files")
    for column in ("", PLAIN, SUFFIX, "saved", "95 %"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in result["bits_per_byte"].items():
        mean, low, high = row["saved"]
        within = "" if low is None else f"{low:+.1%} to {high:+.1%}"
        table.add_row(name, f"{row[PLAIN]:.3f}", f"{row[SUFFIX]:.3f}", f"{mean:+.1%}", within)
    Console(width=120).print(table)
    for name, (mean, low, high) in result["characters_saved"].items():
        within = "" if low is None else f" ({low:+.0%} to {high:+.0%})"
        print(f"characters saved at equal wrong ones, {name} + retrieval: {mean:+.0%}{within}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--package", default="click")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--places", type=int, default=120)
    parser.add_argument("--form", default="kv")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    form: Form = options.form
    folder = repositories(options.cache, [options.package])[options.package]
    config = replace(RECIPE, form=form, steps=options.steps, proof_places=options.places)
    plain, suffix = (
        measure(options.model, layout, folder, config, options.cache) for layout in (PLAIN, SUFFIX)
    )
    result = compared(plain, suffix)
    show(result)
    written = {f"{options.package}, {options.steps} steps, {form}": result}
    options.results.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
