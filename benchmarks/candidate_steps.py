"""Processor time of one step by each candidate for the next default model, beside the present one.

    taskset -c 0 python -m benchmarks.candidate_steps [--turns 40]

The candidates have the shapes of their recipes (`pretraining/*.toml`), random weights, and the
precision in which each would ship. One thread, 512 tokens cached; in milliseconds, the median with
its quartiles, and the ratio of medians to the shipped model before its weights were rounded to 8
bits, for which the aim was set. The models take turns.
"""

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.instruction_sets import measure, table
from benchmarks.shape import quantised, random_model, unrounded
from code_model.block_quantisation import Scheme
from code_model.decoder.forward import Forward
from code_model.decoder.library import compile_library
from code_model.decoder.llama import LlamaConfig
from code_model.decoder.loading import load_decoder
from code_model.decoder.model import DecoderModel
from code_model.decoder.native import NativeForward
from code_model.model_folder import read_model_folder
from code_model.model_resolution import resolve_model
from pretraining.train import build_model

RECIPES = Path(__file__).parents[1] / "pretraining"
CANDIDATES: dict[str, tuple[str, Scheme]] = {
    "from scratch, int8": ("config.toml", "int8"),
    "continued from SmolLM2-135M, int4": ("smollm2.toml", "int4"),
}
UNROUNDED = "shipped, unrounded"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/candidate_steps.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    shipped = load_decoder(read_model_folder(resolve_model().choice.path))
    models = {UNROUNDED: unrounded(shipped), "shipped": shipped}
    for name, (recipe, scheme) in CANDIDATES.items():
        models[name] = quantised(random_model(shipped, config_of(RECIPES / recipe)), scheme)
    rows = measure(compiled(models), options.turns)
    print(table(rows))
    for name, row in rows.items():
        ratios = (own[1] / other[1] for own, other in zip(row, rows[UNROUNDED], strict=True))
        print(f"{name}: " + ", ".join(f"{ratio:.2f}" for ratio in ratios), f"of {UNROUNDED}")
    options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def config_of(recipe: Path) -> LlamaConfig:
    """The shape of a recipe's model."""
    return build_model(tomllib.loads(recipe.read_text(encoding="utf-8"))).config


def compiled(models: Mapping[str, DecoderModel]) -> dict[str, tuple[LlamaConfig, Forward]]:
    """Each model's compiled step, of one thread. Raises `SystemExit` without a compiler."""
    library = compile_library()
    if library is None:
        raise SystemExit("This measures the compiled step, which needs a C++ compiler.")
    return {
        name: (model.llama.config, NativeForward(model.llama, library.path, threads=1))
        for name, model in models.items()
    }


if __name__ == "__main__":
    main()
