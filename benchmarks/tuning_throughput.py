"""Tokens per second of tuning: this project beside PEFT in a plain loop.

    python -m benchmarks.tuning_throughput REPOSITORY [--steps 8] [--tokens 128] [--rounds 3]

Both tune the same kv prefix (PEFT: PREFIX_TUNING with the same start) with the same AdamW on the
same batches, by turns, in the precision that is faster here, and must arrive at about the same
loss. The ratio is the median over the rounds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders import transformers_model
from code_model.language_model import TunableModel
from code_model.loading import load_tunable_model
from tuning.config import TuningConfig
from tuning.corpus import collect
from tuning.examples import Example, TrainingExamples
from tuning.lora import padded_loss
from tuning.objective import step_gradient
from tuning.soft_prompt import SoftPrompt, initial_ids

LEARNING_RATE = 0.02

Gradient = Callable[[list[Example]], float]
"""Sets the gradient of the parameter for a batch; the loss (nats per weight)."""


def pass_over(
    gradient: Gradient, parameter: torch.nn.Parameter, batches: list[list[Example]]
) -> tuple[float, list[float]]:
    """Seconds of one pass of updates over the batches, and the loss of each batch."""
    optimiser = torch.optim.AdamW([parameter], lr=LEARNING_RATE, weight_decay=0.0)
    losses = []
    started = time.perf_counter()
    for batch in batches:
        losses.append(gradient(batch))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return time.perf_counter() - started, losses


def ours(
    model: TunableModel, start: torch.Tensor, config: TuningConfig
) -> tuple[Gradient, torch.nn.Parameter]:
    """Gradients by this project, and the parameter that they are of."""
    prompt = SoftPrompt(start, "kv")
    prompt.scale.fill_(1.0)  # PEFT's prefix has no scale

    def gradient(batch: list[Example]) -> float:
        loss, weight, total = step_gradient(model, prompt, batch, config)
        prompt.delta.grad = total / weight
        return loss / weight

    return gradient, prompt.delta


def peft(
    model: TunableModel, start: torch.Tensor, config: TuningConfig, *, bfloat16: bool
) -> tuple[Gradient, torch.nn.Parameter]:
    """Gradients by PEFT, and the parameter that they are of."""
    from peft import PrefixTuningConfig, get_peft_model

    tuned: Any = get_peft_model(
        transformers_model(model),
        PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=len(start)),
    )
    table: torch.nn.Parameter = tuned.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        table.copy_(start)

    def gradient(batch: list[Example]) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = padded_loss(tuned, batch, config, front=[])
        loss.backward()
        return loss.item()

    return gradient, table


def measure(
    model: TunableModel, repository: Path, config: TuningConfig, n_steps: int, n_rounds: int
) -> dict[str, Any]:
    """Tokens per second of both, the ratios of the rounds, and the last losses."""
    bfloat16 = model.prefers_bfloat16()
    learning = model.for_gradients(bfloat16=bfloat16)
    files = collect(repository).files
    examples = TrainingExamples(model, files, config=config, room=config.max_tokens)
    size = config.examples_per_step
    batches = [[examples[step * size + n] for n in range(size)] for step in range(n_steps)]
    n_tokens = sum(len(example.ids) - 1 for batch in batches for example in batch)
    ids = initial_ids(model, files, config.num_virtual_tokens)
    start = model.prompt_embeddings_of(ids, "kv")
    times: dict[str, list[float]] = {"ours": [], "peft": []}
    losses: dict[str, list[float]] = {}
    for number in range(n_rounds + 1):
        contenders = {
            "ours": ours(learning, start, config),
            "peft": peft(model, start, config, bfloat16=bfloat16),
        }
        for name, (gradient, parameter) in contenders.items():
            seconds, losses[name] = pass_over(gradient, parameter, batches)
            if number:  # the first round warms up
                times[name].append(seconds)
    ratios = [theirs / own for own, theirs in zip(times["ours"], times["peft"], strict=True)]
    return {
        "tokens_per_second": {
            name: round(n_tokens / statistics.median(seconds)) for name, seconds in times.items()
        },
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "last_loss": {name: round(each[-1], 4) for name, each in losses.items()},
        "tokens": n_tokens,
        "threads": torch.get_num_threads(),
        "bfloat16": bfloat16,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--weight", type=float, default=1.0, help="of a token outside of the hole")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    config = TuningConfig(num_virtual_tokens=options.tokens, context_weight=options.weight)
    model = load_tunable_model()
    figures = measure(model, options.repository, config, options.steps, options.rounds)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
