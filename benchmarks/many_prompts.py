"""Many prompts on one model in this process: what sharing forward passes gains, and what it takes.

Run `taskset -c 1 python -m benchmarks.many_prompts`. Random weights of SmolLM2-135M's shape stand
behind 32 kv prompts in the transformers engine, float32, one thread. The same texts are written in
shared passes with 32 different prompts, in shared passes with 32 sessions of one prompt, and one
after the other. Then the shipped model replays completions as a proof does, to see how much of that
time are steps, which sharing makes cheaper, and how much is prefill. Times are the processor's, so
that other programs count little.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.files import read_files
from benchmarks.transformers_engine import SMOLLM2, loaded, summary, write_model
from code_model.greedy import GreedyEnd
from code_model.model_choice import DEFAULT
from code_model.transformers_engine.model import TransformersModel
from code_model.transformers_engine.session import TransformersSession
from code_model.transformers_engine.together import Wanted, generate_together
from prompts.file import PromptFile
from prompts.manifest import Manifest
from tuning.acceptance import replay, sample_places
from tuning.corpus import SourceFile

PROMPTS = 32
INPUT_TOKENS = 64
NEW_TOKENS = 8


def main(arguments: Sequence[str] | None = None, shape: dict[str, Any] = SMOLLM2) -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--places", type=int, default=24)
    parser.add_argument("--virtual-tokens", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/many_prompts.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        model = loaded(write_model(Path(temporary) / "model", shape))
        figures, prompts = memory(model, options.virtual_tokens)
        result: dict[str, Any] = {"memory": figures}
        result["throughput"] = throughput(model, prompts, options.turns)
        del model
    result["replay"] = replay_shares(options.places)
    print(json.dumps(result, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def random_prompts(model: TransformersModel, tokens: int) -> list[PromptFile]:
    """kv prompts: random tokens of the model, disturbed so that no two are the same."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 300, (tokens,), generator=generator).tolist()
    rows = model.prompt_embeddings_of(ids, "kv")
    prompts = []
    for seed in range(PROMPTS):
        own = rows * (1 + 0.3 * torch.randn(rows.shape, generator=generator))
        manifest = Manifest(
            name=f"p{seed}", form="kv", num_virtual_tokens=tokens, model=model.identity,
            attune_version="0.1.0",
        )  # fmt: skip
        prompts.append(PromptFile(manifest, own.contiguous().numpy()))
    return prompts


def text_ids(row: int) -> list[int]:
    """An input, different for each row."""
    return [5 + (row * 31 + n * n) % 290 for n in range(INPUT_TOKENS)]


def memory(
    model: TransformersModel, virtual_tokens: int
) -> tuple[dict[str, float], list[PromptFile]]:
    """Resident megabytes beside the model, and the prompts: 32 that are read, then 32 open
    sessions, then a text behind each."""
    process = psutil.Process()
    model.open().generate(text_ids(0), max_new_tokens=1)  # what the first pass allocates

    def megabytes() -> float:
        gc.collect()
        return float(process.memory_info().rss) / 1e6

    before = megabytes()
    prompts = random_prompts(model, virtual_tokens)
    read = megabytes()
    sessions = [model.open(prompt) for prompt in prompts]
    opened = megabytes()
    for row, session in enumerate(sessions):
        session.generate(text_ids(row), max_new_tokens=1)
    used = megabytes()
    figures = {
        "weights": 4 * model.num_parameters / 1e6,
        "prompts": PROMPTS * prompts[0].embeddings.nbytes / 1e6,
        "prompts_read": read - before,
        "sessions_open": opened - before,
        "sessions_with_a_text": used - before,
    }
    return figures, prompts


def throughput(
    model: TransformersModel, prompts: Sequence[PromptFile], turns: int
) -> dict[str, Any]:
    """New tokens a second behind inputs that are cached, and the ratios, turn by turn."""
    different = [model.open(prompt) for prompt in prompts]
    equal = [model.open(prompts[0]) for _ in prompts]
    seconds: dict[str, list[float]] = {"different": [], "equal": [], "alone": []}
    same = 0
    for turn in range(turns):
        answers = {}
        for name in tuple(seconds)[:: 1 if turn % 2 else -1]:
            sessions = equal if name == "equal" else different
            wanted = _prefilled(sessions)
            started = time.process_time()
            if name == "alone":
                answers[name] = [each.alone().ids for each in wanted]
            else:
                answers[name] = [each.ids for each in generate_together(wanted)]
            seconds[name].append(time.process_time() - started)
        same += sum(
            one == other for one, other in zip(answers["different"], answers["alone"], strict=True)
        )
    tokens = len(prompts) * NEW_TOKENS
    pairs = list(zip(*seconds.values(), strict=True))
    return {
        "tokens_per_s": {n: tokens / statistics.median(each) for n, each in seconds.items()},
        "different_over_equal": summary([equal / different for different, equal, _ in pairs]),
        "together_over_alone": summary([alone / different for different, _, alone in pairs]),
        "same_ids": same / (turns * len(prompts)),
    }


def _prefilled(sessions: Sequence[TransformersSession]) -> list[Wanted]:
    for row, session in enumerate(sessions):
        session.prefill(text_ids(row))
    end = GreedyEnd((), max_new_tokens=NEW_TOKENS)
    return [Wanted(session, text_ids(row), end) for row, session in enumerate(sessions)]


class TimedSession(TransformersSession):
    """Knows how long it prefilled and stepped."""

    prefill_s = 0.0
    step_s = 0.0

    def _prefill(self, *arguments: Any) -> int:
        started = time.process_time()
        result = super()._prefill(*arguments)
        self.prefill_s += time.process_time() - started
        return result

    def _step(self, *arguments: Any) -> tuple[list[int], list[float]]:
        started = time.process_time()
        result = super()._step(*arguments)
        self.step_s += time.process_time() - started
        return result


def replay_shares(places: int) -> dict[str, float]:
    """Of the time of a proof's replay on the CPU, the shares of prefill and of steps."""
    model = loaded(DEFAULT)
    session = TimedSession(model)
    files = [SourceFile(path, text) for path, text in read_files().items()]
    chosen = sample_places(files, places, seed=0)
    started = time.process_time()
    replay(session, chosen)
    seconds = time.process_time() - started
    return {
        "seconds_per_place": seconds / len(chosen),
        "prefill_share": session.prefill_s / seconds,
        "step_share": session.step_s / seconds,
    }


if __name__ == "__main__":
    main()
