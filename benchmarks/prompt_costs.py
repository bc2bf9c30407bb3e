"""What a soft prompt adds to one model call, to switching, and how fast a cancel ends a step."""

import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from code_model.cancel import Cancel
from code_model.decoder.model import DecoderModel
from code_model.decoder.session import DecoderSession
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from prompts.file import PromptFile, read_prompt, write_prompt
from prompts.manifest import Manifest

NEW_TOKENS = 16
TURNS = 5
CANCELS = 15
WATCHED_STEPS = 6


def prompt_costs(
    model: DecoderModel, cases: Sequence[tuple[list[int], list[int]]], n_tokens: int, folder: Path
) -> dict[str, float]:
    """Ratios and milliseconds with a prompt of `n_tokens` virtual tokens against without one.

    A case is the ids of a cursor and of the cursor two keystrokes later.
    """
    prompt = _prompt_like(model, cases[0][1], n_tokens)
    file = folder / "bench.attune.safetensors"
    write_prompt(file, prompt)
    sessions = {"without": model.open(), "with": model.open(prompt)}
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    prefilled: dict[str, list[int]] = {name: [] for name in sessions}
    for session in sessions.values():
        session.speculate = False
    for before, timed in cases:
        for session in sessions.values():
            session.generate(before, max_new_tokens=1)
        for turn in range(TURNS):
            for name, session in list(sessions.items())[:: 1 if turn % 2 else -1]:
                started = time.perf_counter()
                generation = session.generate(timed, max_new_tokens=NEW_TOKENS)
                seconds[name].append(time.perf_counter() - started)
                if turn == 0:
                    prefilled[name].append(generation.prefilled)
    ratios = np.divide(seconds["with"], seconds["without"])
    costs = {
        "decode_ratio": float(np.median(ratios)),
        "decode_ratio_p90": float(np.quantile(ratios, 0.9)),
        "prefill_added": float(np.median(np.subtract(prefilled["with"], prefilled["without"]))),
        "open_and_switch_ms": 1e3 * _median_s(lambda: model.open(read_prompt(file))),
        "switch_ms": 1e3 * _median_s(lambda: model.open(prompt)),
        **cancel_costs(sessions["with"], cases[0][1]),
    }
    rounded = {name: round(value, 3) for name, value in costs.items()}
    print(f"\n{n_tokens}-token prompt, {model.name}:", rounded)
    return costs


def _prompt_like(model: DecoderModel, ids: Sequence[int], n_tokens: int) -> PromptFile:
    """A prompt that holds the keys and values of real code."""
    repeated = (list(ids) * (1 + n_tokens // len(ids)))[:n_tokens]
    manifest = Manifest(
        name="bench",
        form="kv-nope",
        num_virtual_tokens=n_tokens,
        model=model.identity,
        attune_version="0",
    )
    return PromptFile(manifest, kv_to_rows(kv_of_ids(model.llama, repeated)).contiguous().numpy())


def _median_s(call: Callable[[], object]) -> float:
    """Median seconds of nine calls."""
    taken = []
    for _ in range(9):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def cancel_costs(session: DecoderSession, ids: Sequence[int]) -> dict[str, float]:
    """The wait from a cancel at a random moment of a step to the end of `generate`.

    In milliseconds and in steps of the same generation.
    """
    rng = random.Random(0)
    waits, steps = [], []
    session.generate(ids, max_new_tokens=1)
    for _ in range(CANCELS):
        cancel = TimedCancel()
        cancelled_at: list[float] = []

        def raise_cancel(
            cancel: TimedCancel = cancel, cancelled_at: list[float] = cancelled_at
        ) -> None:
            cancel.running.wait()
            time.sleep(rng.random() * statistics.median(cancel.step_seconds()))
            cancelled_at.append(time.perf_counter())
            cancel.set()

        thread = threading.Thread(target=raise_cancel)
        thread.start()
        session.generate(ids, max_new_tokens=NEW_TOKENS, cancelled=cancel)
        ended = time.perf_counter()
        thread.join()
        waits.append(max(0.0, ended - cancelled_at[0]))
        steps.append(statistics.median(cancel.step_seconds()))
    step = statistics.median(steps)
    return {
        "cancel_ms": 1e3 * statistics.median(waits),
        "step_ms": 1e3 * step,
        "cancel_steps": statistics.median(waits) / step,
        "cancel_steps_p90": float(np.quantile(waits, 0.9)) / step,
    }


class TimedCancel(Cancel):
    """A cancel flag that records when it is tested; `running` is set after a few steps."""

    def __init__(self) -> None:
        super().__init__()
        self.running = threading.Event()
        self._tested_at: list[float] = []

    def __call__(self) -> bool:
        """Whether it is cancelled."""
        self._tested_at.append(time.perf_counter())
        if len(self._tested_at) == WATCHED_STEPS:
            self.running.set()
        return super().__call__()

    def step_seconds(self) -> list[float]:
        """Seconds between tests, without the prefill."""
        return [after - before for before, after in pairwise(self._tested_at[1:WATCHED_STEPS])]
