"""What prompt files cost: load and verify, swap in a running server, push by many at once.

    python -m benchmarks.prompt_files [--rounds 30] [--pushers 50] [--json]

Load and swap use a prompt of the default model of about 2 MB. A swap is measured from the rename to
the first answer's engine being ready, by the watch (nobody asks) and by a request that comes at
once; beside it, what a plain read of the same bytes costs. The target stands beside each figure.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from code_model.decoder.model import DecoderModel
from code_model.loading import load_model
from completion.prompted_model import PromptedModel
from completion.status import Status
from lsp_server.prompt_watch import PromptWatch
from prompts.file import DEFAULT_PROMPT, PromptFile, encode_prompt, read_prompt, write_prompt
from prompts.manifest import Manifest
from prompts.registry import open_registry
from prompts.router import PromptRouter

MEGABYTES = 2


def prompt_for(base: DecoderModel, n_bytes: int, name: str) -> PromptFile:
    """A proven prompt of random numbers for the model, about that large."""
    manifest = Manifest(
        name=name,
        form="kv",
        num_virtual_tokens=1,
        model=base.identity,
        measured={"proven": True},
        attune_version="0.1.0",
    )
    rows = min(256, max(1, n_bytes // (4 * manifest.shape[1])))
    manifest = replace(manifest, num_virtual_tokens=rows)
    numbers = np.random.default_rng(0).standard_normal(manifest.shape, dtype=np.float32)
    return PromptFile(manifest, numbers)


def timed(work: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each round."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began))
    return found


def load_and_verify(path: Path, rounds: int) -> dict[str, list[float]]:
    """Reading with every check, beside reading the bytes only; in turns."""
    plain, verified = [], []
    for _ in range(rounds):
        plain += timed(path.read_bytes, 1)
        verified += timed(lambda: read_prompt(path), 1)
    return {"plain read": plain, "load and verify": verified}


def swap(base: DecoderModel, root: Path, rounds: int) -> dict[str, list[float]]:
    """From the rename of a new file to serving it."""
    told: SimpleQueue[Status] = SimpleQueue()
    path = root / DEFAULT_PROMPT
    path.parent.mkdir()
    prompts = [prompt_for(base, MEGABYTES << 20, f"p{n}") for n in range(2)]
    write_prompt(path, prompts[1])
    model = PromptedModel(base, root, told.put)
    told.get()
    watch = PromptWatch(model.folders(), model.refresh)
    watch.start()
    by_watch = []
    for number in range(rounds):
        staged = path.with_name("staged")
        write_prompt(staged, prompts[number % 2])
        began = time.perf_counter()
        staged.replace(path)
        told.get(timeout=60)  # told when the engine stands
        by_watch.append(1000 * (time.perf_counter() - began))
    watch.stop()
    by_request = []
    for number in range(rounds):
        staged = path.with_name("staged")
        write_prompt(staged, prompts[(number + rounds) % 2])
        began = time.perf_counter()
        staged.replace(path)
        model.refresh()
        by_request.append(1000 * (time.perf_counter() - began))
    prompts_only = PromptRouter(root)
    prompts_only.choose("a.py")
    look = timed(lambda: prompts_only.choose("a.py"), rounds)
    return {"swap, by the watch": by_watch, "swap, by a request": by_request, "look": look}


def push_one(job: tuple[str, bytes]) -> tuple[int, float]:
    """Push from a process of its own; version and milliseconds."""
    began = time.perf_counter()
    version = open_registry(job[0], Path()).push("team", job[1], None)
    return version, 1000 * (time.perf_counter() - began)


def push_together(base: DecoderModel, folder: Path, pushers: int) -> tuple[list[float], int]:
    """Milliseconds of each of many pushers at once, and how many versions are missing after."""
    prompt = prompt_for(base, 100_000, "p")
    files = [
        encode_prompt(replace(prompt, manifest=replace(prompt.manifest, name=f"p{n}")))
        for n in range(pushers)
    ]
    with ProcessPoolExecutor(pushers) as pool:
        done = list(pool.map(push_one, [(str(folder), data) for data in files]))
    registry = open_registry(str(folder), Path())
    found = dict(registry.versions("team"))
    held = {
        version
        for (version, _), data in zip(done, files, strict=True)
        if version in found and registry._file(found[version]) == data
    }
    return [took for _, took in done], pushers - len(held)


def main() -> None:
    """Run all, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pushers", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    base = load_model()
    targets = {"load and verify": 20, "swap, by the watch": 100, "swap, by a request": 100}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "p.attune.safetensors"
        write_prompt(path, prompt_for(base, MEGABYTES << 20, "p"))
        size = path.stat().st_size
        figures = load_and_verify(path, options.rounds)
        (folder / "root").mkdir()
        figures |= swap(base, folder / "root", options.rounds)
        pushes, missing = push_together(base, folder / "registry", options.pushers)
        figures[f"push, {options.pushers} processes at once"] = pushes
    rows = {
        what: {
            "median_ms": round(statistics.median(took), 3),
            "p90_ms": round(float(np.percentile(took, 90)), 3),
            "target_ms": targets.get(what),
        }
        for what, took in figures.items()
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
