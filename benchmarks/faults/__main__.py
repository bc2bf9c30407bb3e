"""Kill -9 at random moments of writing, pushing, indexing and tuning, many times each.

    python -m benchmarks.faults [--kills 100] [--kinds prompt push index tune] [--seed 0]

After each kill every file that was there before must be whole, and the next process goes on. The
exit code is 1 if something was lost. Tuning runs with a small random model, so that a run takes
seconds.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from benchmarks.faults.victims import N_FILES, NAME, VICTIMS, file_text
from benchmarks.prompt_files import prompt_for
from code_context.index import RepositoryIndex
from code_context.index_store import DAMAGED, index_file, open_index
from code_model.decoder.llama import Llama, LlamaConfig
from code_model.language_model import LanguageModel
from code_model.loading import DEFAULT, MODEL_VARIABLE, load_model
from pretraining.export import export
from prompts.errors import PromptError
from prompts.file import DEFAULT_PROMPT, read_prompt, write_prompt
from prompts.registry import open_registry
from tuning.checkpoint import unfinished_path

PROMPT_BYTES = 1 << 20
TUNED_FILES = 12
MAX_DELAY_S = {"prompt": 0.05, "push": 0.1, "index": 1.0}
"""The longest time between `ready` and the kill, in which some pieces of work are done. Tuning ends
by itself, so it is killed within the time that one run takes."""
SMALL = LlamaConfig(
    vocab_size=0,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=512,
)


@dataclass
class Outcome:
    """What many kills have led to. `problems` says what was lost."""

    kills: int = 0
    finished: int = 0
    """Processes that had ended before their kill."""
    resumed: int = 0
    """Processes that went on from what a killed one had saved."""
    temporary_files: int = 0
    """Files of unfinished writes that are left; no reader takes them for a prompt."""
    problems: list[str] = field(default_factory=list)


class Killer:
    """Starts one kind of process again and again, and kills each."""

    def __init__(self, kind: str, folder: Path, seed: int) -> None:
        self.kind = kind
        self.folder = folder
        self.outcome = Outcome()
        self.said: list[int] = []
        """The numbers that the victims have printed, in all; `last` of the latest one."""
        self.last: list[int] = []
        self.max_delay_s = MAX_DELAY_S.get(kind, 0.0)
        self._random = random.Random(f"{kind} {seed}")

    def kill(self, check: Callable[["Killer"], None], times: int) -> Outcome:
        """Kill so many processes; after each, `check` adds to the problems."""
        for _ in range(times):
            self._kill_one()
            check(self)
        self.outcome.temporary_files = len(list(self.folder.rglob(".attune-*.tmp")))
        return self.outcome

    def finish(self) -> int:
        """Let one process end by itself; its exit code. Its time is the longest until a kill."""
        process = self._start()
        started = time.perf_counter()
        output, _ = process.communicate()
        self.max_delay_s = time.perf_counter() - started
        self._hear(output)
        return process.returncode

    def _kill_one(self) -> None:
        process = self._start()
        time.sleep(self._random.uniform(0, self.max_delay_s))
        process.send_signal(signal.SIGKILL)
        output, errors = process.communicate()
        self._hear(output)
        if process.returncode == -signal.SIGKILL:
            self.outcome.kills += 1
        elif process.returncode == 0:
            self.outcome.finished += 1
        else:
            self.outcome.problems.append(f"a process failed: {errors.splitlines()[-1:]}")

    def _start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.victims", self.kind, str(self.folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.stdout is not None and (line := process.stdout.readline()):
            if line == "ready\n":
                return process
        _, errors = process.communicate()
        raise RuntimeError(f"The process to kill did not start: {errors}")

    def _hear(self, output: str) -> None:
        """Keep the whole lines of an output; the last one may be cut."""
        self.last = [int(line) for line in output.split("\n")[:-1] if line.isdigit()]
        self.said += self.last


def check_prompt(killer: Killer) -> None:
    """The prompt is whole: its digest covers every byte."""
    try:
        read_prompt(killer.folder / DEFAULT_PROMPT)
    except PromptError as error:
        killer.outcome.problems.append(str(error))


def check_registry(killer: Killer) -> None:
    """Every acknowledged version is there, no number is missing, and all files are whole."""
    registry = open_registry(str(killer.folder / "registry"), killer.folder)
    versions = dict(registry.versions(NAME))
    if sorted(versions) != list(range(1, registry.newest(NAME) + 1)):
        killer.outcome.problems.append("a version is missing or unreadable")
    if not set(killer.last) <= set(versions):
        killer.outcome.problems.append("an acknowledged version is missing")
    for number in sorted(versions)[-3:]:  # the older ones were checked before
        registry._file(versions[number])


def check_index(killer: Killer) -> None:
    """The next process finds an undamaged index, and brings it up to date with the files."""
    file = index_file(killer.folder)
    if not file.exists():
        return  # killed before it was made
    before = _stamps(RepositoryIndex(file, read_only=True)) if file.stat().st_size else {}
    opened = open_index(killer.folder)
    killer.outcome.resumed += bool(before)
    if DAMAGED in opened.notices:
        killer.outcome.problems.append("the index was damaged")
    on_disk = {
        path.name: (status.st_size, status.st_mtime_ns)
        for path in killer.folder.glob("*.py")
        for status in [path.stat()]
    }
    if _stamps(opened.index) != on_disk:
        killer.outcome.problems.append("the index is not that of the files")


def _stamps(index: RepositoryIndex) -> dict[str, tuple[int | None, int | None]]:
    stamps = index.stamps()
    index.close()
    return stamps


def check_tuning(killer: Killer) -> None:
    """The prompt and the checkpoint are whole, whichever run they are of."""
    check_prompt(killer)
    path = unfinished_path(killer.folder / DEFAULT_PROMPT)
    if path.exists():
        try:
            with safe_open(path, framework="np") as opened:
                opened.metadata()
        except SafetensorError as error:
            killer.outcome.problems.append(f"the checkpoint is damaged: {error}")
    killer.outcome.resumed += bool(killer.last) and killer.last[0] > 1


CHECKS = {
    "prompt": check_prompt,
    "push": check_registry,
    "index": check_index,
    "tune": check_tuning,
}


def run(kind: str, folder: Path, model: LanguageModel, kills: int, seed: int) -> Outcome:
    """All kills of one kind, in a folder of its own."""
    (folder / ".attune").mkdir(parents=True)
    write_prompt(folder / DEFAULT_PROMPT, prompt_for(model, PROMPT_BYTES, "before"))
    for number in range({"index": N_FILES, "tune": TUNED_FILES}.get(kind, 0)):
        (folder / f"file_{number}.py").write_text(file_text(number, number % 5), encoding="utf-8")
    killer = Killer(kind, folder, seed)
    if kind == "tune":
        _finish_tuning(killer)
    outcome = killer.kill(CHECKS[kind], kills)
    if kind == "tune":
        _finish_tuning(killer)
    return outcome


def _finish_tuning(killer: Killer) -> None:
    """A run that is not killed replaces the prompt, and leaves no checkpoint."""
    path = killer.folder / DEFAULT_PROMPT
    before = path.stat().st_ino
    if killer.finish() != 0:
        killer.outcome.problems.append("a run that was not killed did not end well")
    elif path.stat().st_ino == before or unfinished_path(path).exists():
        killer.outcome.problems.append("a run that was not killed has not replaced the prompt")
    check_tuning(killer)


def small_model(folder: Path) -> Path:
    """A folder with a random model and the tokenizer of the default one."""
    tokenizer = DEFAULT / "tokenizer.json"
    n_tokens = Tokenizer.from_file(str(tokenizer)).get_vocab_size()
    llama = Llama(replace(SMALL, vocab_size=n_tokens))
    llama.init_weights(torch.Generator().manual_seed(0))
    export(llama, tokenizer, folder / "model", name="small")
    return folder / "model"


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", choices=list(VICTIMS), default=list(VICTIMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/faults.json"))
    options = parser.parse_args(arguments)
    # one thread each: the victims are many, and they do little
    os.environ["OMP_NUM_THREADS"] = "1"
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        os.environ["ATTUNE_HOME"] = f"{folder}/home"
        os.environ[MODEL_VARIABLE] = str(small_model(Path(folder)))
        model = load_model()
        for kind in options.kinds:
            started = time.perf_counter()
            outcome = run(kind, Path(folder) / kind, model, options.kills, options.seed)
            seconds = round(time.perf_counter() - started, 1)
            results[kind] = vars(outcome) | {"seconds": seconds}
            print(json.dumps({kind: results[kind]}), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if any(result["problems"] for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
