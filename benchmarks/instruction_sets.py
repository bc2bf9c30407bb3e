"""Processor time of one step by each library of the wheel that runs here, and by torch.

    taskset -c 0 python -m benchmarks.instruction_sets [--turns 40]

The default model, one thread, 512 tokens cached; in milliseconds, the median with its quartiles.
The libraries take turns. torch is what computes where there is none.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import torch

from code_model.decoder.compiler import find_compiler
from code_model.decoder.forward import Forward, TorchForward
from code_model.decoder.instruction_sets import this_processor
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.llama import LlamaConfig
from code_model.decoder.loading import load_decoder
from code_model.decoder.native import NativeForward
from code_model.decoder.precision import dense
from code_model.model_folder import read_model_folder
from code_model.model_resolution import resolve_model
from hatch_build import STRIP, library

CACHED = 512
TOKENS = (1, 4, 12)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compile, measure, print a table, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/instruction_sets.json")
    )
    options = parser.parse_args(arguments)
    compiler = find_compiler()
    if compiler is None:
        raise SystemExit("This compares what a C++ compiler makes, and there is none.")
    torch.set_num_threads(1)
    folder = read_model_folder(resolve_model().choice.path)
    model = load_decoder(folder).llama
    with TemporaryDirectory() as made:
        forwards: dict[str, Forward] = {
            each.name: NativeForward(model, library(compiler, each, STRIP, Path(made)), threads=1)
            for each in this_processor().usable
        }
        forwards["torch"] = TorchForward(dense(model))
        rows = measure(
            {name: (model.config, forward) for name, forward in forwards.items()}, options.turns
        )
    options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


def measure(
    forwards: Mapping[str, tuple[LlamaConfig, Forward]], turns: int
) -> dict[str, list[list[float]]]:
    """Quartiles of milliseconds of one thread's processor time for each of `TOKENS`, by name."""
    caches = {}
    for name, (config, forward) in forwards.items():
        caches[name] = KVCache(config, CACHED + max(TOKENS))
        for start in range(0, CACHED, 64):
            forward.step(_ids(64, config, start), caches[name], 0)
    times: dict[str, list[list[float]]] = {name: [[] for _ in TOKENS] for name in forwards}
    for _ in range(turns):
        for name, (config, forward) in forwards.items():
            for column, tokens in zip(times[name], TOKENS, strict=True):
                caches[name].length = CACHED
                ids = _ids(tokens, config)
                started = time.thread_time()
                forward.step(ids, caches[name], tokens)
                column.append(1000 * (time.thread_time() - started))
    return {name: [quantiles(column, n=4) for column in each] for name, each in times.items()}


def _ids(count: int, config: LlamaConfig, start: int = 0) -> list[int]:
    return [n * 37 % config.vocab_size for n in range(start, start + count)]


def table(rows: Mapping[str, list[list[float]]]) -> str:
    """Markdown: the median of each row's steps, with its quartiles."""
    lines = [
        "| | " + " | ".join(f"{tokens} token(s)" for tokens in TOKENS) + " |",
        "| --- |" + " --- |" * len(TOKENS),
    ]
    for name, row in rows.items():
        cells = (f"{median:.1f} ({low:.1f} to {high:.1f})" for low, median, high in row)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
