"""Tokens per second of tuning: this engine and PEFT in a plain loop, the same prompt and examples.

    python -m benchmarks.tuning_throughput REPOSITORY [--steps 8] [--tokens 128] [--rounds 3]

Both tune the same kv prefix (PEFT: PREFIX_TUNING with the same start) by the same AdamW on the same
batches, turn by turn, in the precision that is faster here, and must arrive at the same loss; the
ratio is the median over the rounds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from code_model.loading import load_tunable_model
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.examples import Example, TrainingExamples
from tuning.lora import padded_loss
from tuning.objective import step_gradient
from tuning.soft_prompt import SoftPrompt, initial_ids

RATE = 0.02


def seconds_of(
    learn: Callable[[list[Example]], float],
    parameter: torch.nn.Parameter,
    batches: list[list[Example]],
) -> tuple[float, list[float]]:
    """Seconds of one pass of updates over the batches, and the loss of each, which `learn` returns
    after it has computed the parameter's gradient."""
    optimiser = torch.optim.AdamW([parameter], lr=RATE, weight_decay=0.0)
    losses = []
    began = time.perf_counter()
    for batch in batches:
        losses.append(learn(batch))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return time.perf_counter() - began, losses


def main() -> None:
    """Print the medians and the ratio as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--weight", type=float, default=1.0, help="of a token outside of the hole")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()

    from peft import PrefixTuningConfig, get_peft_model
    from transformers import LlamaForCausalLM

    base = load_tunable_model()
    bfloat16 = base.prefers_bfloat16()
    learning = base.in_bfloat16() if bfloat16 else base
    config = TuningConfig(num_virtual_tokens=given.tokens, context_weight=given.weight)
    files = collect(given.repository).files
    examples = TrainingExamples(base, files, config=config, room=config.max_tokens)
    size = config.examples_per_step
    batches = [[examples[step * size + n] for n in range(size)] for step in range(given.steps)]
    tokens = sum(len(one.ids) - 1 for batch in batches for one in batch)
    ids = initial_ids(base, files, given.tokens)
    peft = get_peft_model(
        LlamaForCausalLM.from_pretrained(base.folder, dtype=torch.float32),
        PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=given.tokens),
    )
    table = peft.prompt_encoder["default"].embedding.weight
    start = base.prompt_embeddings_of(ids, "kv")
    times: dict[str, list[float]] = {"ours": [], "peft": []}
    losses: dict[str, list[float]] = {}
    for _ in range(given.rounds + 1):  # the first warms up
        prompt = SoftPrompt(start, "kv")
        prompt.scale.fill_(1.0)  # PEFT's prefix has no scale
        with torch.no_grad():
            table.copy_(start)

        def ours(batch: list[Example], prompt: SoftPrompt = prompt) -> float:
            loss, weight, gradient = step_gradient(learning, prompt, batch, config)
            prompt.delta.grad = gradient / weight
            return loss / weight

        def plain(batch: list[Example]) -> float:
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = padded_loss(peft, batch, config, front=[])
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.item()

        for name, learn, parameter in (("ours", ours, prompt.delta), ("peft", plain, table)):
            taken, losses[name] = seconds_of(learn, parameter, batches)
            times[name].append(taken)
    medians = {name: statistics.median(taken[1:]) for name, taken in times.items()}
    ratios = [p / o for o, p in zip(times["ours"][1:], times["peft"][1:], strict=True)]
    print(
        json.dumps(
            {
                "tokens_per_second": {name: round(tokens / s) for name, s in medians.items()},
                "ratio": round(statistics.median(ratios), 2),
                "ratios": [round(one, 2) for one in ratios],
                "last_loss": {name: round(each[-1], 4) for name, each in losses.items()},
                "tokens": tokens,
                "threads": torch.get_num_threads(),
                "bfloat16": bfloat16,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
