"""Soak: a real server over stdio, thousands of mixed requests, and what it costs at the end.

    python -m benchmarks.soak [--requests 20000] [--storms 6] [--storm-files 5000] [--seed 0]
        [--documents N]

The exit code is 1 if a check fails.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.files import read_files
from benchmarks.soak.client import SoakClient
from benchmarks.soak.figures import Figures, measure, memory_mb, settled
from benchmarks.soak.script import PROMPTS, Script, Workspace
from code_context.index import RepositoryIndex
from code_context.index_store import index_file

WARM_UP = 0.2
"""Share of the requests before the first figures are taken."""
FULL = 10_000
"""Requests from which on the costs are checked: a shorter run ends before the server is warm.

A shorter run does not wait for the state in which costs compare either.
"""
MEMORY_GROWTH = 0.03
PARTS = 8
"""Of the requests after the warm-up; after each, memory is read."""
LATENCY_RATIO = 1.25
"""Of processor time: the wall time of a probe also depends on what else the machine does."""
LOGGED = re.compile(r"(?m)^(?:ERROR|CRITICAL|Traceback).*|^\w*(?:Error|Exception)\b.*")
INDEX_TIMEOUT_S = 120
TEXT_LINES = 150
"""Of each document at first: longer ones would only make the run longer."""


async def soak(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run all phases in `folder`; the result with its `problems`."""
    files = list(read_files().values())[: options.documents]
    texts = ["\n".join(text.split("\n")[:TEXT_LINES]) for text in files]
    workspace = Workspace(folder, texts, options.storm_files)
    client = SoakClient(folder / "server.log")
    started = time.perf_counter()
    environment = os.environ | {"ATTUNE_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder)}
    await client.start([workspace.first, workspace.second], environment)
    script = Script(client, workspace, options.seed)
    is_full = options.requests >= FULL
    script.begin()
    warm_up = int(WARM_UP * options.requests)
    await script.run(warm_up, 1)
    if is_full:
        await _calm(client, workspace, script, fill_caches=True)
    before = await measure(client, texts[0], options.probes, 0, pause=is_full)
    memory = [memory_mb(client)]
    for part in range(PARTS):
        storms = (part + 1) * (options.storms - 1) // PARTS - part * (options.storms - 1) // PARTS
        left = options.requests - client.counts["requests"]
        await script.run(left // (PARTS - part), storms)
        memory.append(memory_mb(client))
    seconds = time.perf_counter() - started
    serves = await _calm(client, workspace, script, fill_caches=is_full)
    is_indexed = await client.wait_for(lambda: _is_indexed(workspace), INDEX_TIMEOUT_S)
    after = await measure(client, texts[0], options.probes, options.probes, pause=is_full)
    exit_code = await client.stop()
    logged = LOGGED.findall(client.log.read_text(encoding="utf-8", errors="replace"))
    problems = [
        *([f"the server ended with {exit_code}"] if exit_code else []),
        *([f"{len(logged)} errors were logged: {logged[0]}"] if logged else []),
        *([] if serves else ["the last prompt does not serve"]),
        *([] if is_indexed else ["the index is not that of the files on disk"]),
        *(
            f"{len(found)} {name.replace('_', ' ')}: {found[0]}"
            for name, found in asdict(client.findings).items()
            if found
        ),
        *(compare(before, after) if is_full else []),
    ]
    return {
        "seconds": round(seconds, 1),
        "counts": dict(sorted(client.counts.items())),
        "after warm-up": asdict(before),
        "at the end": asdict(after),
        "memory of server and index processes": [
            [round(part) for part in parts] for parts in memory
        ],
        "memory growth": round(after.memory_mb / before.memory_mb - 1, 4),
        "latency ratio": {
            name: round(getattr(after, name) / max(getattr(before, name), 1e-3), 3)
            for name in ("first_ms", "first_cpu_ms", "next_ms", "next_cpu_ms")
        },
        "problems": problems,
    }


async def _calm(
    client: SoakClient, workspace: Workspace, script: Script, *, fill_caches: bool
) -> bool:
    """Bring the server into the same state for every measurement: the first prompt, no routes.

    To fill the caches of all sessions, each prompt serves some documents, a long one among them.
    Returns whether the prompts that were put in place served.
    """
    await settled(client)
    workspace.configure(0)
    served = []
    for number in (1, 0):
        told = len(client.statuses) - 1  # the last one is that of the prompt in place
        workspace.swap_prompt(number)

        def is_told(start: str = f"{PROMPTS[number]}@", told: int = told) -> bool:
            # not the last one: the fit check of a document may have come since
            prompts = (str(status.prompt or "") for status in client.statuses[told:])
            return any(prompt.startswith(start) for prompt in prompts)

        served.append(await client.wait_for(is_told, INDEX_TIMEOUT_S))
        if fill_caches:
            await script.visit_all()
            await script.visit_long()
    return all(served)


def compare(before: Figures, after: Figures) -> list[str]:
    """What has grown that must not."""
    problems = []
    growth = after.memory_mb / before.memory_mb - 1
    if growth > MEMORY_GROWTH:
        problems.append(f"memory has grown by {growth:.1%}")
    for name in ("threads", "descriptors", "processes"):
        was, now = getattr(before, name), getattr(after, name)
        if now > was:
            problems.append(f"{now} {name} instead of {was}")
    for name in ("first_cpu_ms", "next_cpu_ms"):
        was, now = getattr(before, name), getattr(after, name)
        if now > LATENCY_RATIO * was:
            problems.append(f"{name} has grown from {was} to {now}")
    return problems


def _is_indexed(workspace: Workspace) -> bool:
    """Whether the index of the first folder has every file with its present size and time."""
    index = RepositoryIndex(index_file(workspace.first), read_only=True)
    try:
        stamps = index.stamps()
    finally:
        index.close()
    files = [path for path in workspace.first.rglob("*.py") if path.is_file()]
    return stamps == {
        path.relative_to(workspace.first).as_posix(): (status.st_size, status.st_mtime_ns)
        for path in files
        for status in [path.stat()]
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--storms", type=int, default=6, help="one of them during the warm-up")
    parser.add_argument("--storm-files", type=int, default=5000)
    parser.add_argument("--probes", type=int, default=30)
    parser.add_argument("--documents", type=int, help="of each folder; default: all that there are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/soak.json"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        result = asyncio.run(soak(options, Path(folder)))
    print(json.dumps(result, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if result["problems"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
