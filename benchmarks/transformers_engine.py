"""The transformers engine beside a bare loop of transformers' forward passes with kept KV.

Both compute the same weights over the same ids in one process, in turns; a case is a cursor and the
same cursor two keystrokes later, of which the second is timed. Random weights of SmolLM2-135M's
shape give the time of a model of that size; what drafts gain is measured with the shipped model,
because random weights continue no code.
"""

import argparse
import copy
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders import TransformersForward
from benchmarks.latency import cases_for
from code_model.loading import load_model
from code_model.model_choice import DEFAULT, ModelChoice
from code_model.transformers_engine.model import TransformersModel

SMOLLM2: dict[str, Any] = {
    "vocab_size": 49_152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rope_theta": 100_000.0,
    "tie_word_embeddings": True,
}
NEW_TOKENS = 16
Case = tuple[list[int], list[int]]


def main(arguments: Sequence[str] | None = None, shape: dict[str, Any] = SMOLLM2) -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=8, help="cursors in real files")
    parser.add_argument("--turns", type=int, default=3, help="measurements of each")
    parser.add_argument("--room", type=int, default=700, help="limit the context to so many tokens")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/transformers.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    shipped = load_model(DEFAULT)
    cases = cases_for(shipped, options.cases, options.room)  # type: ignore[arg-type]
    result: dict[str, Any] = {"threads": options.threads, "new_tokens": NEW_TOKENS}
    with tempfile.TemporaryDirectory() as temporary:
        model = loaded(write_model(Path(temporary) / "model", shape))
        result["bare_loop"] = beside_bare_loop(model, cases, options.turns)
    result["drafts"] = drafts_gain(loaded(DEFAULT), cases, options.turns)
    print(json.dumps(result, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write_model(folder: Path, shape: dict[str, Any]) -> Path:
    """A random Llama-type model with the shipped tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(folder)
    for name in ("tokenizer.json", "attune.json"):
        shutil.copy(DEFAULT / name, folder)
    return folder


def loaded(folder: Path) -> TransformersModel:
    """The model of a folder, in float32 on the CPU, which never ends a text by itself."""
    choice = ModelChoice(folder, engine="transformers", device="cpu", precision="float32")
    model = load_model(choice)
    assert isinstance(model, TransformersModel)  # noqa: S101
    encoder = copy.copy(model.encoder)
    encoder.end_ids = ()
    return replace(model, files=replace(model.files, encoder=encoder))


def beside_bare_loop(
    model: TransformersModel, cases: Sequence[Case], turns: int
) -> dict[str, float]:
    """The engine's time over the bare loop's, for the same ids: median and quartiles."""
    session = model.open()
    session.speculate = False
    causal = model.network.causal
    bare = TransformersForward(causal, model.encoder.beginning_ids)
    own_attention = causal.config._attn_implementation
    ratios, milliseconds = list[float](), list[float]()
    same = total = 0
    for before, timed in cases:
        for turn in range(turns):
            seconds = dict[str, float]()
            answers = dict[str, list[int]]()
            for name in ("engine", "bare")[:: 1 if turn % 2 else -1]:
                causal.config._attn_implementation = own_attention if name == "engine" else "sdpa"
                for ids, count in ((before, 1), (timed, NEW_TOKENS)):
                    started = time.perf_counter()
                    if name == "engine":
                        answers[name] = list(session.generate(ids, max_new_tokens=count).ids)
                    else:
                        answers[name] = bare.generate(ids, count)
                    seconds[name] = time.perf_counter() - started
            causal.config._attn_implementation = own_attention
            ratios.append(seconds["engine"] / seconds["bare"])
            milliseconds.append(1e3 * seconds["engine"])
            same += answers["engine"] == answers["bare"]
            total += 1
    return {
        "same_ids": same / total,
        "engine_ms": statistics.median(milliseconds),
        **summary(ratios),
    }


def drafts_gain(model: TransformersModel, cases: Sequence[Case], turns: int) -> dict[str, float]:
    """The engine's time with drafts of prompt lookup over that without."""
    ratios, steps = list[float](), {True: 0, False: 0}
    for before, timed in cases:
        for turn in range(turns):
            seconds = dict[bool, float]()
            for speculate in (True, False)[:: 1 if turn % 2 else -1]:
                session = model.open()
                session.speculate = speculate
                session.prefill(before)
                started = time.perf_counter()
                steps[speculate] += session.generate(timed, max_new_tokens=NEW_TOKENS).steps
                seconds[speculate] = time.perf_counter() - started
            ratios.append(seconds[True] / seconds[False])
    return {"steps_ratio": steps[True] / steps[False], **summary(ratios)}


def summary(ratios: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(ratios, n=4)
    return {"ratio": median, "ratio_p25": low, "ratio_p75": high}


if __name__ == "__main__":
    main()
