"""How many people one server completes for: a simulation of recorded typing at servers of a cost.

Run `python -m benchmarks.scale`. It takes what people ask while they type from
`benchmarks/results/typing_arrivals.json` (`benchmarks.typing_arrivals` records it), measures what a
step costs on one core of this machine, computes what it would cost on GPUs from their data sheets,
and simulates a queue in front of each (`benchmarks.queue_simulation`). docs/scale.md explains the
figures; nothing of it was measured on a GPU.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import torch

from benchmarks import scale_plot, typing_arrivals
from benchmarks.queue_simulation import BLOCK, Load, Server, simulate
from benchmarks.shape import SMALLER, random_model
from benchmarks.typing_arrivals import TypingSession
from code_context.context import ContextConfig
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.model import DecoderModel
from code_model.loading import load_model
from code_model.model_choice import ModelChoice

RESULTS: Final = Path("benchmarks/results/scale.json")
LIMIT_MS = 1e3 * typing_arrivals.SERVER_S
"""That 9 of 10 requests may take at a server, from sending to the whole text."""
IN_TIME = 0.9
"""Of the texts that come in time where one person has the server alone, the share that still
must."""
SECONDS = 30.0
PEOPLE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
TEXT_TOKENS = 6
"""At least, of a text of a large model, which is surer than the one recorded. In the replay of
tsugi.nvim (bench/RESULTS.md, 2026) models of 4B to 12B showed a text at 68 of 100 places, of which
90 were right and saved 1,090 characters: 18 characters each, of about three to a token."""
BUDGETS = ContextConfig()
CONTEXT_TOKENS = (
    BUDGETS.max_prefix_tokens
    + BUDGETS.max_suffix_tokens
    + BUDGETS.max_header_tokens
    + BUDGETS.max_snippet_tokens
)
PROMPT_TOKENS = 256  # virtual, as `attune tune` writes them in the form kv
PROMPTS = 32
TYPING_SHARE = 52 / (8 * 60)
"""Of a working day, in which a developer writes or edits code: 52 minutes (Code Time Report,
software.com, over 250,000 developers)."""
PEAK = 2.0
"""People typing at once at the busiest time over the mean of the working day; an assumption. GitHub
Copilot's 8,000 requests a second at its peak are 1.7 times the mean of its 400 million a day
(D. Cheney, InfoQ 2025), over all time zones."""
DEVELOPERS = (10, 1_000, 100_000)


@dataclass(frozen=True)
class MeasuredCost:
    """A line through two measured steps of one sequence; the length of the cache is left out."""

    step_s: float
    token_s: float

    def seconds(self, inputs: int, sequences: int, cached: int) -> float:
        """See `Cost`."""
        return self.step_s + self.token_s * (inputs + sequences - 1)


@dataclass(frozen=True)
class Model:
    """A model as it is served in bfloat16. `kv_bytes` for each token of a context."""

    name: str
    parameters: float
    layers: int
    kv_heads: int
    head_dim: int

    @property
    def weight_bytes(self) -> float:
        """Bytes of the weights."""
        return 2 * self.parameters

    @property
    def kv_bytes(self) -> int:
        """Keys and values of all layers."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Gpu:
    """From a data sheet: bytes, bytes a second, dense bfloat16 operations a second."""

    name: str
    memory: float
    bandwidth: float
    flops: float


@dataclass(frozen=True)
class Roofline:
    """Assumed, not measured: a step reads all weights and all cached keys and values once, at
    `READS` of the bandwidth on the data sheet, or computes two operations for each weight and
    token, at `COMPUTES` of its peak, whichever takes longer, and `OVERHEAD_S` more."""

    READS: ClassVar = 0.7
    COMPUTES: ClassVar = 0.5
    OVERHEAD_S: ClassVar = 0.003

    model: Model
    gpu: Gpu

    def seconds(self, inputs: int, sequences: int, cached: int) -> float:
        """See `Cost`."""
        read = self.model.weight_bytes + cached * self.model.kv_bytes
        computed = 2 * self.model.parameters * (inputs + sequences)
        reading = read / (self.READS * self.gpu.bandwidth)
        return self.OVERHEAD_S + max(reading, computed / (self.COMPUTES * self.gpu.flops))


MODELS = (
    Model("Qwen2.5-Coder-1.5B", 1.54e9, 28, 2, 128),
    Model("Qwen2.5-Coder-7B", 7.62e9, 28, 4, 128),
)
GPUS = (  # data sheets of NVIDIA; a GeForce's bfloat16 with float32 sums
    Gpu("L4 (24 GB)", 24e9, 300e9, 121e12),
    Gpu("RTX 4090 (24 GB)", 24e9, 1008e9, 165e12),
    Gpu("H100 SXM (80 GB)", 80e9, 3350e9, 989e12),
)


def servers() -> dict[str, Server]:
    """GPU servers, with room for the contexts of people beside weights and prompts."""
    found = {}
    for model in MODELS:
        for gpu in GPUS:
            prompts = PROMPTS * PROMPT_TOKENS * model.kv_bytes
            room = 0.9 * gpu.memory - model.weight_bytes - prompts  # vLLM takes 0.9 of a GPU
            contexts = int(room / (CONTEXT_TOKENS * model.kv_bytes))
            name = f"{model.name}, {gpu.name}"
            found[name] = Server(Roofline(model, gpu), batch=256, chunk=2048, contexts=contexts)
    return found


def measured(model: DecoderModel, repeats: int) -> dict[str, float]:
    """Milliseconds of a step with one token and with 128, behind 448 cached ones: medians and
    quartiles. They are the processor's, so that other programs count little."""
    cache = KVCache(model.llama.config, 1024)
    ids = [5 + n % 300 for n in range(448)]
    for start in range(0, len(ids), 64):
        model.forward.step(ids[start : start + 64], cache, 0)
    figures: dict[str, float] = {}
    for tokens in (1, 128):
        times = []
        for _ in range(repeats):
            started = time.process_time()
            model.forward.step(ids[:tokens], cache, 1)
            times.append(1e3 * (time.process_time() - started))
            cache.rewind(len(ids))
        low, median, high = statistics.quantiles(times, n=4)
        figures |= {f"ms_{tokens}": median, f"low_{tokens}": low, f"high_{tokens}": high}
    return figures


def cpu_server(figures: dict[str, float]) -> Server:
    """One text at a time, as the engine does."""
    step_s, chunk_s = figures["ms_1"] / 1e3, figures["ms_128"] / 1e3
    return Server(MeasuredCost(step_s, (chunk_s - step_s) / 127), 1, 128, contexts=10**6)


def asked(sessions: Sequence[TypingSession]) -> dict[str, float]:
    """What one person asks while typing. `per_s` are means over all sessions' time."""
    calls = [call for session in sessions for call in session.calls]
    seconds = sum(session.seconds for session in sessions)
    inputs = [call.input - call.reused // BLOCK * BLOCK for call in calls]
    kept_ms = sorted(1e3 * (call.sent_s - call.key_s) for call in calls)
    return {
        "sessions": len(sessions),
        "seconds": seconds,
        "keystrokes_per_s": sum(session.keystrokes for session in sessions) / seconds,
        "requests_per_s": len(calls) / seconds,
        "input_tokens": statistics.mean(call.input for call in calls),
        "computed_tokens": statistics.mean(inputs),
        "computed_tokens_per_s": sum(inputs) / seconds,
        "uncached_tokens_per_s": sum(call.input for call in calls) / seconds,
        "new_tokens": statistics.mean(call.new for call in calls),
        "new_tokens_per_s": sum(call.new for call in calls) / seconds,
        "large_model_tokens_per_s": sum(max(call.new, TEXT_TOKENS) for call in calls) / seconds,
        "held_back_p50_ms": kept_ms[len(kept_ms) // 2],
    }


def with_snippets(sessions: Sequence[TypingSession], tokens: int) -> list[TypingSession]:
    """The sessions are of single files: put the budget for code of other files in front."""
    return [
        replace(
            session,
            calls=[
                replace(
                    call,
                    input=call.input + tokens,
                    reused=call.reused + tokens if call.reused else 0,
                )
                for call in session.calls
            ],
        )
        for session in sessions
    ]


@dataclass(frozen=True)
class Capacity:
    """`people` that may type at once within `LIMIT_MS` and `IN_TIME`, to 10 %; 0 if one cannot.

    `points` are waits by the number of people, up to the first that is too large.
    """

    people: int
    points: list[dict[str, float]]


def capacity(server: Server, sessions: Sequence[TypingSession], load: Load) -> Capacity:
    """Try the numbers of `PEOPLE`, then between the last that may and the first that may not."""

    def waits_of(people: int) -> dict[str, float]:
        seconds = load.seconds * max(1, 20 // people)  # so that few ask often enough
        return simulate(server, sessions, replace(load, people=people, seconds=seconds)).summary()

    needed = IN_TIME * waits_of(1)["in_time"]

    def try_with(people: int) -> tuple[dict[str, float], bool]:
        waits = waits_of(people)
        fits = waits["sent_p90_ms"] <= LIMIT_MS and waits["in_time"] >= needed
        return {"people": people, **waits}, fits

    points, low, high = list[dict[str, float]](), 0, 1
    for high in PEOPLE:
        point, fits = try_with(high)
        points.append(point)
        if not fits:
            break
        low = high
    while high - low > max(1, low // 10):
        middle = (low + high) // 2
        low, high = (middle, high) if try_with(middle)[1] else (low, middle)
    return Capacity(low, points)


def needs(capacities: dict[str, int], figures: dict[str, float]) -> list[dict[str, Any]]:
    """What teams of three sizes need, from the figures of one person."""
    found = []
    for developers in DEVELOPERS:
        typing = max(1.0, developers * TYPING_SHARE * PEAK)
        found.append(
            {
                "developers": developers,
                "typing_at_once": round(typing, 1),
                "requests_per_s": round(typing * figures["requests_per_s"], 1),
                "computed_tokens_per_s": round(typing * figures["computed_tokens_per_s"]),
                "new_tokens_per_s": round(typing * figures["large_model_tokens_per_s"]),
                "contexts_gb": {
                    model.name: round(developers * CONTEXT_TOKENS * model.kv_bytes / 1e9, 2)
                    for model in MODELS
                },
                "servers": {
                    name: -(-int(typing + 0.5) // people) if people else None
                    for name, people in capacities.items()
                },
            }
        )
    return found


def run(
    fast: Sequence[TypingSession],
    behind_server: Sequence[TypingSession],
    seconds: float,
    repeats: int,
) -> dict[str, Any]:
    """All figures, as JSON. `fast` are typing sessions where a model answers at once."""
    torch.set_num_threads(1)
    default = load_model(ModelChoice())
    assert isinstance(default, DecoderModel)  # noqa: S101
    shapes = {"shipped model, one core": default}
    shapes["135M, one core"] = random_model(default, SMALLER)
    cpu = {name: measured(model, repeats) for name, model in shapes.items()}
    recorded = Load(0, seconds)
    large = replace(recorded, new_tokens=TEXT_TOKENS)
    full = with_snippets(behind_server, BUDGETS.max_snippet_tokens)
    found = {
        name: capacity(cpu_server(figures), behind_server, recorded)
        for name, figures in cpu.items()
    }
    found |= {name: capacity(server, full, large) for name, server in servers().items()}
    alone = replace(large, affinity=False)
    scattered = {name: capacity(server, full, alone) for name, server in servers().items()}
    capacities = {name: each.people for name, each in found.items()}
    one = asked(full)
    gpus = {name: people for name, people in capacities.items() if name not in cpu}
    return {
        "one_person": {name: round(value, 3) for name, value in one.items()},
        "one_person_fast": {name: round(each, 3) for name, each in asked(fast).items()},
        "cpu_steps": cpu,
        "capacity": capacities,
        "capacity_without_affinity": {name: each.people for name, each in scattered.items()},
        "contexts": {name: server.contexts for name, server in servers().items()},
        "needs": needs(gpus, one),
        "curves": {name: each.points for name, each in found.items()},
    }


def main() -> None:
    """Simulate, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    recorded = json.loads(typing_arrivals.RESULTS.read_text(encoding="utf-8"))
    fast, behind = (typing_arrivals.from_json(recorded[name]) for name in ("fast", "server"))
    result = run(fast, behind, options.seconds, repeats=41)
    print(json.dumps({name: part for name, part in result.items() if name != "curves"}, indent=1))
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    scale_plot.draw(options.out, scale_plot.PICTURE)


if __name__ == "__main__":
    main()
