"""What one model call costs, side by side with peers on the same weights and the same ids.

Run `python -m benchmarks.latency` (see README.md). Contenders take turns within every case, in
another order each time, so that whatever else the machine does is spread over all of them.
"""

import argparse
import copy
import gc
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.contenders import (
    Attune,
    Contender,
    LlamaCpp,
    PeftGenerate,
    TransformersForward,
    TransformersGenerate,
    transformers_model,
)
from benchmarks.files import read_files
from benchmarks.gguf_export import export_gguf
from benchmarks.shape import random_base, transformers_twin
from code_model.cancel import Cancel
from code_model.decoder import compiler
from code_model.decoder.model import DecoderModel
from code_model.decoder.native import NativeForward
from code_model.decoder.session import DecoderSession
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from code_model.loading import load_model
from completion.model_input import CompletionPoint, model_input
from prompts.file import PromptFile, read_prompt, write_prompt
from prompts.manifest import Manifest

NEW_TOKENS = 16
PROMPT_TOKENS = 256
console = Console(stderr=True)

Case = tuple[list[int], list[int]]
"""Ids of a place in a file, and of the same place two keystrokes later."""


def main() -> None:
    """Measure, print tables, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=24, help="places in real files")
    parser.add_argument("--large-cases", type=int, default=3, help="places for the 0.5B shape")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/latency.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    library = compiler.compile_library()
    if library is None:
        raise SystemExit("This benchmark compares the compiled step, which needs a C++ compiler.")
    base = _endless(load_model())
    base.forward.native = NativeForward(base.llama, library, options.threads)
    result: dict[str, Any] = {"threads": options.threads, "new_tokens": NEW_TOKENS}
    cases = _cases(base, options.cases)
    result["prompt_tokens"] = statistics.median(len(timed) for _, timed in cases)

    def save(stage: str, measured: Any) -> None:
        """What was measured is kept, whatever becomes of the rest."""
        result[stage] = measured
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        save("default", _default(base, cases, Path(folder), options.threads))
        save("prompt", _prompt_costs(base, cases[:8], Path(folder)))
        if options.large_cases:
            large = _endless(random_base(base))
            large.forward.native = NativeForward(large.llama, library, options.threads)
            few = cases[: options.large_cases]
            save("0.5B", _large(large, few, Path(folder), options.threads))
            save("0.5B prompt", _prompt_costs(large, few[:2], Path(folder)))


def _endless(base: DecoderModel) -> DecoderModel:
    """The model without end tokens, so that every contender computes as many steps."""
    encoder = copy.copy(base.encoder)
    encoder.end_ids = ()
    return replace(base, encoder=encoder)


def _cases(base: DecoderModel, count: int) -> list[Case]:
    """Cursors in the middle of lines spread over real files; the rest of their line is to come."""
    files = read_files()
    found = []
    for n in range(count):
        path = list(files)[n % len(files)]
        text = files[path]
        rows = [
            (match, line)
            for match, line in _lines(text)
            if len(line.strip()) > 24 and not line.strip().startswith(("#", '"', "'", "@"))
        ]
        start, line = rows[len(rows) * (2 + n // len(files)) // 7]
        middle = start + len(line) - len(line.strip()) // 2
        pair = []
        for offset in (middle - 2, middle):
            shown = text[:offset] + text[start + len(line) :]
            pair.append(model_input(base.encoder, CompletionPoint.parse(shown, path, offset)))
        found.append((pair[0], pair[1]))
    return found


def _lines(text: str) -> list[tuple[int, str]]:
    lines, start = [], 0
    for line in text.split("\n"):
        lines.append((start, line))
        start += len(line) + 1
    return lines


def _default(
    base: DecoderModel, cases: Sequence[Case], folder: Path, threads: int
) -> list[dict[str, Any]]:
    beginning = base.encoder.beginning_ids
    export_gguf(base.llama, folder / "default.gguf")
    reference = transformers_model(base)
    contenders: list[Contender] = [
        Attune("attune", base).open(),
        Attune("attune, no drafts", _plain(base)),
        Attune("attune without a compiler", _interpreted(base).open()),
        LlamaCpp(folder / "default.gguf", beginning, threads),
        TransformersForward(reference, beginning),
        TransformersGenerate(reference, beginning),
        PeftGenerate(transformers_model(base), beginning[0]),
    ]
    return _race("Default model", contenders, cases)


def _large(
    base: DecoderModel, cases: Sequence[Case], folder: Path, threads: int
) -> list[dict[str, Any]]:
    """Without drafts: what a random model says is no code, and its repetitions prove nothing."""
    export_gguf(base.llama, folder / "large.gguf")
    beginning = base.encoder.beginning_ids
    contenders: list[Contender] = [
        Attune("attune, no drafts", _plain(base)),
        LlamaCpp(folder / "large.gguf", beginning, threads),
        TransformersForward(transformers_twin(base), beginning),
    ]
    return _race("Shape of Qwen2.5-Coder-0.5B, random weights", contenders, cases)


def _plain(base: DecoderModel) -> DecoderSession:
    engine = base.open()
    engine.speculate = False
    return engine


def _interpreted(base: DecoderModel) -> DecoderModel:
    """The same model with its step by torch."""
    other = replace(base)
    other.forward.native = None
    return other


def _race(
    title: str, contenders: Sequence[Contender], cases: Sequence[Case]
) -> list[dict[str, Any]]:
    """Milliseconds of every contender for every case; what it keeps of the call before is its own.

    Each makes the call two keystrokes earlier first, untimed.
    """
    times: dict[str, list[float]] = {one.name: [] for one in contenders}
    same = dict.fromkeys(times, 0)
    shuffled = random.Random(0)
    with console.status(title) as status:
        for n, (before, timed) in enumerate(cases):
            status.update(f"{title}: {n + 1} of {len(cases)}")
            said: dict[str, list[int]] = {}
            for one in shuffled.sample(list(contenders), len(contenders)):
                one.generate(before, NEW_TOKENS)
                began = time.perf_counter()
                said[one.name] = one.generate(timed, NEW_TOKENS)
                times[one.name].append(1e3 * (time.perf_counter() - began))
            for name, ids in said.items():
                same[name] += ids == said[contenders[0].name]
    first = times[contenders[0].name]
    rows = []
    for name, taken in times.items():
        ratios = [one / own for one, own in zip(taken, first, strict=True)]
        rows.append(
            {
                "name": name,
                "median_ms": statistics.median(taken),
                "p90_ms": quantile(taken, 0.9),
                "ratio": statistics.median(ratios),
                "ratio_p10": quantile(ratios, 0.1),
                "ratio_p90": quantile(ratios, 0.9),
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


def _prompt_costs(base: DecoderModel, cases: Sequence[Case], folder: Path) -> dict[str, float]:
    """What a prompt of 256 tokens adds to prefill, decoding, switching; what a cancel waits."""
    ids = list(cases[0][1])
    real = (ids * (1 + PROMPT_TOKENS // len(ids)))[:PROMPT_TOKENS]
    prompt = PromptFile(
        Manifest(
            name="bench",
            form="kv-nope",
            num_virtual_tokens=PROMPT_TOKENS,
            model=base.identity,
            attune_version="0",
        ),
        kv_to_rows(kv_of_ids(base.llama, real)).contiguous().numpy(),
    )
    file = folder / "bench.attune.safetensors"
    write_prompt(file, prompt)
    engines = {"without": _plain(base), "with": base.open(prompt)}
    engines["with"].speculate = False
    taken: dict[str, list[float]] = {name: [] for name in engines}
    prefilled: dict[str, list[int]] = {name: [] for name in engines}
    for before, timed in cases:
        for engine in engines.values():
            engine.generate(before, max_new_tokens=1)
        for turn in range(5):
            for name, engine in list(engines.items())[:: 1 if turn % 2 else -1]:
                began = time.perf_counter()
                answer = engine.generate(timed, max_new_tokens=NEW_TOKENS)
                taken[name].append(time.perf_counter() - began)
                if turn == 0:
                    prefilled[name].append(answer.prefilled)
    pairs = zip(taken["with"], taken["without"], strict=True)
    ratios = [one / other for one, other in pairs]
    costs = {
        "decode_ratio": statistics.median(ratios),
        "decode_ratio_p90": quantile(ratios, 0.9),
        "prefill_added": statistics.median(
            a - b for a, b in zip(prefilled["with"], prefilled["without"], strict=True)
        ),
        "open_and_switch_ms": 1e3 * _median(lambda: base.open(read_prompt(file))),
        "switch_ms": 1e3 * _median(lambda: base.open(prompt)),
    }
    costs |= _cancel(engines["with"], cases[0][1])
    gc.collect()
    print(f"\n256-token prompt, {base.name}:", {k: round(v, 3) for k, v in costs.items()})
    return costs


def _median(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(9):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _cancel(engine: DecoderSession, ids: Sequence[int]) -> dict[str, float]:
    """From raising the flag, at some moment of a step, to the answer, against one step's time."""
    person = random.Random(0)
    waits, steps = [], []
    engine.generate(ids, max_new_tokens=1)
    for _ in range(15):
        watched = _Watched()
        raised: list[float] = []

        def cancel(watched: _Watched = watched, raised: list[float] = raised) -> None:
            watched.going.wait()
            time.sleep(person.random() * statistics.median(watched.steps()))
            raised.append(time.perf_counter())
            watched.set()

        other = threading.Thread(target=cancel)
        other.start()
        engine.generate(ids, max_new_tokens=NEW_TOKENS, cancelled=watched)
        ended = time.perf_counter()
        other.join()
        waits.append(max(0.0, ended - raised[0]))
        steps.append(statistics.median(watched.steps()))
    step = statistics.median(steps)
    return {
        "cancel_ms": 1e3 * statistics.median(waits),
        "step_ms": 1e3 * step,
        "cancel_steps": statistics.median(waits) / step,
        "cancel_steps_p90": quantile(waits, 0.9) / step,
    }


class _Watched(Cancel):
    """Notes when it is looked at, and tells when a few steps are done."""

    def __init__(self) -> None:
        super().__init__()
        self.going = threading.Event()
        self._looks: list[float] = []

    def __call__(self) -> bool:
        self._looks.append(time.perf_counter())
        if len(self._looks) == 6:
            self.going.set()
        return super().__call__()

    def steps(self) -> list[float]:
        """Seconds between two looks, without the prefill."""
        return [b - a for a, b in pairwise(self._looks[1:6])]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    main()
