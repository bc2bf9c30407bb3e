"""The cost of prompt files: load and verify, swap in a running server, concurrent pushes.

    python -m benchmarks.prompt_files [--rounds 30] [--pushers 50] [--json]

Load and swap use a prompt of about 2 MB. A swap is measured from the rename to the new prompt's
session: once through the watch, while no request arrives, and once through a request that arrives
at once. A plain read of the same bytes is measured beside loading.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from code_model.language_model import LanguageModel
from code_model.loading import load_model
from completion.prompted_model import PromptedModel
from completion.status import Status
from lsp_server.prompt_watch import PromptWatch
from prompts.file import DEFAULT_PROMPT, PromptFile, encode_prompt, read_prompt, write_prompt
from prompts.manifest import Manifest
from prompts.registry import open_registry
from prompts.router import PromptRouter

PROMPT_BYTES = 2 << 20
PUSHED_BYTES = 100_000
TARGETS_MS = {"load and verify": 20, "swap, by the watch": 100, "swap, by a request": 100}

Milliseconds = dict[str, list[float]]


def prompt_for(model: LanguageModel, n_bytes: int, name: str) -> PromptFile:
    """A proven prompt of random numbers for the model, of about `n_bytes`."""
    manifest = Manifest(
        name=name,
        form="kv",
        num_virtual_tokens=1,
        model=model.identity,
        measured={"proven": True},
        attune_version="0.1.0",
    )
    n_tokens = min(256, max(1, n_bytes // (4 * manifest.shape[1])))
    manifest = replace(manifest, num_virtual_tokens=n_tokens)
    numbers = np.random.default_rng(0).standard_normal(manifest.shape, dtype=np.float32)
    return PromptFile(manifest, numbers)


def timed_ms(work: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def load_and_verify(path: Path, rounds: int) -> Milliseconds:
    """Reading with every check and reading the bytes only, by turns."""
    pairs = [(timed_ms(path.read_bytes), timed_ms(lambda: read_prompt(path)))
             for _ in range(rounds)]  # fmt: skip
    plain, verified = zip(*pairs, strict=True)
    return {"plain read": list(plain), "load and verify": list(verified)}


def swap(model: LanguageModel, root: Path, rounds: int) -> Milliseconds:
    """From the rename of a new file until it serves."""
    statuses: SimpleQueue[Status] = SimpleQueue()
    path = root / DEFAULT_PROMPT
    path.parent.mkdir()
    prompts = [prompt_for(model, PROMPT_BYTES, f"p{n}") for n in range(2)]
    write_prompt(path, prompts[1])
    prompted = PromptedModel(model, root, statuses.put)
    statuses.get(timeout=60)

    def replace_and(number: int, wait: Callable[[], object]) -> float:
        staged = path.with_name("staged")
        write_prompt(staged, prompts[number % 2])
        started = time.perf_counter()
        staged.replace(path)
        wait()
        return 1000 * (time.perf_counter() - started)

    watch = PromptWatch(prompted.folders, prompted.refresh)
    watch.start()
    try:
        by_watch = [replace_and(n, lambda: statuses.get(timeout=60)) for n in range(rounds)]
    finally:
        watch.stop()
    by_request = [replace_and(n + rounds, prompted.refresh) for n in range(rounds)]
    router = PromptRouter(root)
    router.choose("a.py")
    unchanged = [timed_ms(lambda: router.choose("a.py")) for _ in range(rounds)]
    return {
        "swap, by the watch": by_watch,
        "swap, by a request": by_request,
        "check for changes": unchanged,
    }


def push_one(job: tuple[str, bytes]) -> tuple[int, float]:
    """Push to the registry at a URL, in a process of its own; version and milliseconds."""
    url, data = job
    started = time.perf_counter()
    version = open_registry(url, Path()).push("team", data, None)
    return version, 1000 * (time.perf_counter() - started)


def push_concurrently(model: LanguageModel, folder: Path, pushers: int) -> tuple[list[float], int]:
    """Milliseconds of concurrent pushes, and how many of their versions are missing afterwards."""
    prompt = prompt_for(model, PUSHED_BYTES, "p")
    files = [
        encode_prompt(replace(prompt, manifest=replace(prompt.manifest, name=f"p{n}")))
        for n in range(pushers)
    ]
    with ProcessPoolExecutor(pushers) as pool:
        pushed = list(pool.map(push_one, [(str(folder), data) for data in files]))
    registry = open_registry(str(folder), Path())
    entries = dict(registry.versions("team"))
    stored = {
        version
        for (version, _), data in zip(pushed, files, strict=True)
        if version in entries and registry._file(entries[version]) == data
    }
    return [took_ms for _, took_ms in pushed], pushers - len(stored)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything; print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pushers", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    model = load_model()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "p.attune.safetensors"
        write_prompt(path, prompt_for(model, PROMPT_BYTES, "p"))
        size = path.stat().st_size
        figures = load_and_verify(path, options.rounds)
        (folder / "root").mkdir()
        figures |= swap(model, folder / "root", options.rounds)
        pushes, missing = push_concurrently(model, folder / "registry", options.pushers)
        figures[f"push, {options.pushers} processes at once"] = pushes
    rows = {
        what: {
            "median_ms": round(statistics.median(took_ms), 3),
            "p90_ms": round(float(np.percentile(took_ms, 90)), 3),
            "target_ms": TARGETS_MS.get(what),
        }
        for what, took_ms in figures.items()
    }
    if options.json:
        print(json.dumps({"bytes": size, "missing_versions": missing, "figures": rows}, indent=2))
        return
    print(f"A prompt of {size} bytes; {missing} of {options.pushers} pushed versions are missing.")
    for what, row in rows.items():
        target = "" if row["target_ms"] is None else f"   target {row['target_ms']} ms"
        print(f"{what:32} median {row['median_ms']:9.3f} ms   p90 {row['p90_ms']:9.3f} ms{target}")


if __name__ == "__main__":
    main()
