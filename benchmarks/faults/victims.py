"""The processes that are killed: `python -m benchmarks.faults.victims KIND FOLDER`.

Each prints `ready` when its imports are done, and then works on and on.
"""

import itertools
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from code_context.index_refresh import refresh
from code_context.index_store import index_file, open_or_rebuild
from prompts.file import DEFAULT_PROMPT, PromptFile, encode_prompt, read_prompt, write_prompt
from prompts.registry import open_registry

NAME = "team"
N_FILES = 400
"""Source files of the repository whose index is built."""


def file_text(number: int, version: int) -> str:
    """A source file; another version has another size."""
    body = "\n".join(f"    value_{line} = {number} + {line}" for line in range(40))
    return f"def function_{number}_{version * 'x'}(value: int) -> int:\n{body}\n    return value\n"


def another(prompt: PromptFile, name: str) -> PromptFile:
    """The same prompt under another name, with other numbers."""
    manifest = replace(prompt.manifest, name=name)
    return PromptFile(manifest, prompt.embeddings + np.float32(len(name) / 1024))


def write_prompts(folder: Path) -> None:
    """Replace the repository's prompt without end."""
    path = folder / DEFAULT_PROMPT
    prompt = read_prompt(path)
    _ready()
    for number in itertools.count():
        write_prompt(path, another(prompt, f"p{number % 7 * '0'}"))


def push(folder: Path) -> None:
    """Push to a registry without end; a line with each version that was acknowledged."""
    prompt = read_prompt(folder / DEFAULT_PROMPT)
    registry = open_registry(str(folder / "registry"), folder)
    _ready()
    for number in itertools.count():
        data = encode_prompt(another(prompt, f"{os.getpid()}-{number}"))
        _say(registry.push(NAME, data, None))


def build_index(folder: Path) -> None:
    """Build the index of a repository, then change half of its files without end."""
    _ready()
    for version in itertools.count(1):
        index, _ = open_or_rebuild(index_file(folder))
        refresh(index, folder)
        index.close()
        for number in range(version % 2, N_FILES, 2):
            (folder / f"file_{number}.py").write_text(
                file_text(number, version % 3), encoding="utf-8"
            )


def tune(folder: Path) -> None:
    """Tune a prompt; a line with each step. Checkpoints are written at every step."""
    from code_model.loading import load_tunable_model
    from tuning import run, train
    from tuning.config import TuningConfig
    from tuning.corpus import collect
    from tuning.progress import Progress

    def told(progress: Progress) -> None:
        if progress.steps:
            _say(progress.steps)

    train.SAVE_SECONDS = 0.0
    # A few steps prove nothing, but the prompt must take the place of the one before.
    run.is_servable = lambda proof, state: True
    config = TuningConfig(
        num_virtual_tokens=16,
        steps=12,
        max_tokens=128,
        held_out_tokens=160,
        n_evaluations=3,
        validation_holes=4,
        test_holes=4,
    )
    model = load_tunable_model()
    corpus = collect(folder)
    _ready()
    run.tune(model, corpus, None, config, told)


VICTIMS = {"prompt": write_prompts, "push": push, "index": build_index, "tune": tune}


def _ready() -> None:
    print("ready", flush=True)


def _say(number: int) -> None:
    print(number, flush=True)


if __name__ == "__main__":
    VICTIMS[sys.argv[1]](Path(sys.argv[2]))
