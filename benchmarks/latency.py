"""The cost of one model call, beside peers with the same weights and the same ids.

Run `python -m benchmarks.latency` (see README.md). Contenders take turns within every case, in a
new random order each time, so that other work on the machine slows all of them alike.
"""

import argparse
import copy
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks import shape
from benchmarks.contenders import (
    Attune,
    Contender,
    LlamaCpp,
    PeftGenerate,
    TransformersForward,
    TransformersGenerate,
    llama_cpp_quantised,
    transformers_model,
)
from benchmarks.files import read_files
from benchmarks.gguf_export import export_gguf
from benchmarks.prompt_costs import prompt_costs
from benchmarks.shape import transformers_twin
from code_model.block_quantisation import SCHEMES
from code_model.decoder.library import compile_library
from code_model.decoder.loading import load_decoder
from code_model.decoder.model import DecoderModel
from code_model.decoder.native import NativeForward
from code_model.decoder.precision import dense
from code_model.decoder.session import DecoderSession
from code_model.model_folder import read_model_folder
from code_model.model_resolution import resolve_model
from completion.model_input import CompletionPoint, model_input

NEW_TOKENS = 16
PROMPT_TOKENS = 128  # virtual, as `attune tune` writes them in the form kv-nope
BFLOAT16 = "bfloat16"
MIN_LINE = 24  # characters; the cursor stands in the middle of such a line
console = Console(stderr=True)

Case = tuple[list[int], list[int]]
"""Ids of a cursor, and of the cursor two keystrokes later."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write them as JSON after every stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=24, help="cursors in real files")
    parser.add_argument("--large-cases", type=int, default=3, help="cursors for other shapes")
    parser.add_argument("--shapes", default="135M,0.5B", help="of SmolLM2, Qwen2.5-Coder")
    parser.add_argument("--contenders", default="", help="regular expression of their names")
    parser.add_argument("--prompt-tokens", type=int, default=PROMPT_TOKENS)
    parser.add_argument("--room", type=int, help="limit the context to so many tokens")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/latency.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    library = compile_library()
    if library is None:
        raise SystemExit("This benchmark compares the compiled step, which needs a C++ compiler.")
    model = without_end_tokens(load_decoder(read_model_folder(resolve_model().choice.path)))
    model.forward.native = NativeForward(model.llama, library.path, options.threads)
    cases = cases_for(model, options.cases, options.room)
    result: dict[str, Any] = {"threads": options.threads, "new_tokens": NEW_TOKENS}
    result["prompt_tokens"] = statistics.median(len(timed) for _, timed in cases)

    def save(stage: str, measured: Any) -> None:
        result[stage] = measured
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wanted = re.compile(options.contenders)
        contenders = default_contenders(model, folder, options.threads)
        save("default", race("Default model", _named(contenders, wanted), cases))
        save("prompt", prompt_costs(model, cases[:8], options.prompt_tokens, folder))
        shapes = {"135M": shape.SMALLER, "0.5B": shape.CONFIG}
        for name in options.shapes.split(",") if options.large_cases else ():
            large = without_end_tokens(shape.random_model(model, shapes[name]))
            large.forward.native = NativeForward(large.llama, library.path, options.threads)
            few = cases[: options.large_cases]
            contenders = large_contenders(large, folder, options.threads)
            title = f"{name} shape, random weights"
            save(name, race(title, _named(contenders, wanted), few))
            save(f"{name} prompt", prompt_costs(large, few[:2], options.prompt_tokens, folder))


def _named(contenders: Sequence[Contender], pattern: re.Pattern[str]) -> list[Contender]:
    """The first contender, which the others are compared with, and those that match."""
    return [each for n, each in enumerate(contenders) if n == 0 or pattern.search(each.name)]


def without_end_tokens(model: DecoderModel) -> DecoderModel:
    """A copy that stops at no token, so that every contender computes as many steps."""
    encoder = copy.copy(model.encoder)
    encoder.end_ids = ()
    return replace(model, encoder=encoder)


def cases_for(model: DecoderModel, count: int, room: int | None = None) -> list[Case]:
    """Cursors in the middle of lines of real files, with the rest of the line cut off."""
    files = read_files()
    cases = []
    for n in range(count):
        path = list(files)[n % len(files)]
        text = files[path]
        lines = [
            (start, line)
            for start, line in _lines(text)
            if len(line.strip()) > MIN_LINE and not line.strip().startswith(("#", '"', "'", "@"))
        ]
        start, line = lines[len(lines) * (2 + n // len(files)) // 7 % len(lines)]
        middle = start + len(line) - len(line.strip()) // 2
        pair = []
        for offset in (middle - 2, middle):
            shown = text[:offset] + text[start + len(line) :]
            point = replace(CompletionPoint.parse(shown, path, offset), room=room)
            pair.append(model_input(model.encoder, point))
        cases.append((pair[0], pair[1]))
    return cases


def _lines(text: str) -> list[tuple[int, str]]:
    """Offsets and texts of all lines."""
    lines, start = [], 0
    for line in text.split("\n"):
        lines.append((start, line))
        start += len(line) + 1
    return lines


def default_contenders(model: DecoderModel, folder: Path, threads: int) -> list[Contender]:
    """This project's engine in three settings, and its peers with the same weights."""
    beginning = model.encoder.beginning_ids
    reference = transformers_model(model)
    return [
        Attune("attune", model.open()),
        Attune("attune, no drafts", without_drafts(model)),
        Attune("attune without a compiler", _uncompiled(model).open()),
        *(Attune(f"attune {name}", other.open()) for name, other in _precisions(model, threads)),
        *_llama_cpp(model, folder / "default.gguf", threads),
        TransformersForward(reference, beginning),
        TransformersGenerate(reference, beginning),
        PeftGenerate(transformers_model(model), beginning[0]),
    ]


def large_contenders(model: DecoderModel, folder: Path, threads: int) -> list[Contender]:
    """Without drafts: random weights repeat themselves, which drafts would profit from."""
    return [
        Attune("attune, no drafts", without_drafts(model)),
        *(
            Attune(f"attune {name}, no drafts", without_drafts(other))
            for name, other in _precisions(model, threads)
        ),
        *_llama_cpp(model, folder / "large.gguf", threads),
        TransformersForward(transformers_twin(model), model.encoder.beginning_ids),
    ]


def _llama_cpp(model: DecoderModel, file: Path, threads: int) -> list[Contender]:
    if find_spec("llama_cpp") is None:
        console.print("llama-cpp-python is not installed, so llama.cpp is left out.")
        return []
    export_gguf(model.llama, file)
    beginning = model.encoder.beginning_ids
    made = {name: llama_cpp_quantised(file, name) for name in ("Q8_0", "Q4_0")}
    files = {"float16": file, **made}
    return [LlamaCpp(each, beginning, threads, name) for name, each in files.items()]


def _precisions(model: DecoderModel, threads: int) -> list[tuple[str, DecoderModel]]:
    """The model in each precision of our own that it does not have."""
    library = compile_library()
    assert library is not None  # noqa: S101 (`main` has looked)
    made = {str(scheme): shape.quantised(model, scheme) for scheme in SCHEMES}
    made[BFLOAT16] = shape.unrounded(model)
    del made[model.llama.quantisation or BFLOAT16]
    for other in made.values():
        other.forward.native = NativeForward(other.llama, library.path, threads)
    return sorted(made.items())


def without_drafts(model: DecoderModel) -> DecoderSession:
    """A session that computes every token in a step of its own."""
    session = model.open()
    session.speculate = False
    return session


def _uncompiled(model: DecoderModel) -> DecoderModel:
    """The same numbers with the step by torch."""
    other = replace(model, llama=dense(model.llama))
    other.forward.native = None
    return other


def race(
    title: str, contenders: Sequence[Contender], cases: Sequence[Case]
) -> list[dict[str, Any]]:
    """Milliseconds of every contender for every case, as ratios to the first contender's.

    Each contender first makes the call of two keystrokes earlier, untimed, so that it can reuse
    what it caches.
    """
    times_ms: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    same = dict.fromkeys(times_ms, 0)
    shuffled = random.Random(0)
    with console.status(title) as status:
        for n, (before, timed) in enumerate(cases):
            status.update(f"{title}: {n + 1} of {len(cases)}")
            outputs: dict[str, list[int]] = {}
            for contender in shuffled.sample(list(contenders), len(contenders)):
                contender.generate(before, NEW_TOKENS)
                started = time.perf_counter()
                outputs[contender.name] = contender.generate(timed, NEW_TOKENS)
                times_ms[contender.name].append(1e3 * (time.perf_counter() - started))
            for name, ids in outputs.items():
                same[name] += ids == outputs[contenders[0].name]
    first = times_ms[contenders[0].name]
    rows = []
    for name, taken in times_ms.items():
        ratios = [mine / reference for mine, reference in zip(taken, first, strict=True)]
        median_ms, p90_ms = np.quantile(taken, (0.5, 0.9))
        p10, median, p90 = np.quantile(ratios, (0.1, 0.5, 0.9))
        rows.append(
            {
                "name": name,
                "median_ms": float(median_ms),
                "p90_ms": float(p90_ms),
                "ratio": float(median),
                "ratio_p10": float(p10),
                "ratio_p90": float(p90),
                "same_ids": same[name] / len(cases),
            }
        )
    _print(title, rows)
    return rows


def _print(title: str, rows: Sequence[dict[str, Any]]) -> None:
    print(f"\n{title}\n\n| | median ms | p90 ms | × attune, median (p10 to p90) | same ids |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['name']} | {row['median_ms']:.1f} | {row['p90_ms']:.1f} | {row['ratio']:.2f} "
            f"({row['ratio_p10']:.2f} to {row['ratio_p90']:.2f}) | {row['same_ids']:.0%} |"
        )


if __name__ == "__main__":
    main()
