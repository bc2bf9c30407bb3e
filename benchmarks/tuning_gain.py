"""What a prompt saves: on its own unseen files, on another repository's, and beside LoRA."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from code_model.fit import gain_on, misfit
from code_model.language_model import LanguageModel, TunableModel
from prompts.file import PromptFile, read_prompt
from tuning.config import TuningConfig
from tuning.corpus import SourceFile, collect
from tuning.evaluate import Gain, paired_gain, total_nats
from tuning.examples import Example, HeldOutHole, without_middle
from tuning.job import new_job, recorded_job
from tuning.lora import tune_lora
from tuning.run import tune

WINDOW_TOKENS = 512
WINDOWS_PER_FILE = 4
LORA_RATES = (5e-4, 2e-3, 8e-3)
EARLY_SECONDS = 180.0
SEED = TuningConfig().seed


def tune_and_prove(
    model: TunableModel,
    repository: Path,
    config: TuningConfig,
    against: Sequence[PromptFile] = (),
) -> dict[str, Any]:
    """Tune on a repository; the prompt's file, its validation curve, and its proof.

    Beside the proof stand bits per byte of whole unseen files, left to right. `early_share` is the
    part of the best validation gain that was reached within `EARLY_SECONDS`. Raises `SystemExit` if
    no prompt was written.
    """
    corpus = collect(repository)
    report = tune(model, corpus, None, config, lambda progress: None, against=against)
    if report.written is None or report.proof is None:
        raise SystemExit(f"no prompt was written for {repository}")
    gains = [(each.seconds, each.gain.mean) for each in report.evaluations]
    early = [gain for seconds, gain in gains if seconds <= EARLY_SECONDS]
    best = max(gain for _, gain in gains)
    prompt = read_prompt(report.written)
    test = recorded_job(model, corpus, prompt.manifest).split.test
    conditions = (("no prompt", None), ("this prompt", prompt))
    bits = {name: round(files_bits_per_byte(model, one, test), 5) for name, one in conditions}
    return {
        "prompt": str(report.written),
        "bytes": report.written.stat().st_size,
        "machine": _machine(prompt),
        "steps": report.steps,
        "seconds": round(report.evaluations[-1].seconds, 1),
        "curve": [[round(seconds, 1), round(gain, 5)] for seconds, gain in gains],
        "early_share": round(max(early) / best, 3) if best > 0 else None,
        "files": report.files,
        "proof": report.proof.to_json(),
        "files_bits_per_byte": bits,
        "files_gain": round(1 - bits["this prompt"] / bits["no prompt"], 5),
    }


def _machine(prompt: PromptFile) -> str:
    """What a prompt was tuned on: the processor, its widest vectors, and the precision."""
    precision = "bfloat16" if prompt.manifest.recipe["bfloat16"] else "float32"
    name = torch.cpu.get_capabilities()["cpu_name"]
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}, {precision}"


def files_bits_per_byte(
    model: LanguageModel, prompt: PromptFile | None, files: Sequence[SourceFile]
) -> float:
    """Bits per byte of the first windows of whole files, left to right."""
    windows, n_bytes = [], 0
    for file in files:
        head = model.encoder.encode_file(file.path, "")
        ids = model.tokenizer.encode(file.text)
        for start in range(0, min(len(ids), WINDOWS_PER_FILE * WINDOW_TOKENS), WINDOW_TOKENS):
            window = ids[start : start + WINDOW_TOKENS]
            windows.append(Example(head + window, len(window)))
            n_bytes += len(model.tokenizer.decode(window).encode())
    nats = total_nats(model.open(prompt).score(windows))
    return float(nats.sum()) / math.log(2) / n_bytes


def gain_as_served(
    model: LanguageModel, prompt: PromptFile, holes: Sequence[HeldOutHole]
) -> dict[str, Any]:
    """What a prompt saves on holes, used always, and used only where it fits the file.

    The server does the latter. `used` is the share of holes where it fits, `texts` the gain on each
    file's own text, by which that is decided.
    """
    examples = [hole.example for hole in holes]
    without, behind = (total_nats(model.open(one).score(examples)) for one in (None, prompt))
    texts = [
        gain_on(model.open, prompt, hole.file.path, without_middle(hole.file, hole.hole))
        for hole in holes
    ]
    fits = np.array([misfit(prompt, gain) is None for gain in texts])
    return {
        "used": round(float(fits.mean()), 3),
        "texts": [None if gain is None else round(gain, 4) for gain in texts],
        "always": interval(paired_gain(without, behind, holes, SEED)),
        "served": interval(paired_gain(without, np.where(fits, behind, without), holes, SEED)),
    }


def gain_elsewhere(
    model: TunableModel, repository: Path, prompt: PromptFile, config: TuningConfig
) -> dict[str, Any]:
    """`gain_as_served` on the unseen files of a repository that the prompt is not for."""
    job = new_job(model, collect(repository), config)
    return gain_as_served(model, prompt, job.test_holes())


def gain_on_own(model: TunableModel, repository: Path, prompt: PromptFile) -> dict[str, Any]:
    """`gain_as_served` on the unseen files of the prompt's own repository."""
    job = recorded_job(model, collect(repository), prompt.manifest)
    return gain_as_served(model, prompt, job.test_holes())


def gain_of_lora(
    model: TunableModel,
    repository: Path,
    elsewhere: Path,
    config: TuningConfig,
    rates: Sequence[float] = LORA_RATES,
) -> dict[str, Any]:
    """What LoRA saves, tuned for as long as a prompt: on validation, unseen and other files.

    Each learning rate is tried for a third of that time, and the validation files choose one; the
    prompt's recipe has one rate.
    """
    job = new_job(model, collect(repository), config)
    other = new_job(model, collect(elsewhere), config)
    sides = {
        "validation": job.validation_holes(),
        "gain": job.test_holes(),
        "unrelated": other.test_holes(),
    }

    def gain(side: str, tuned: TunableModel) -> float:
        examples = [hole.example for hole in sides[side]]
        before, after = (total_nats(each.open().score(examples)).sum() for each in (model, tuned))
        return round(1 - float(after / before), 5)

    third = replace(config, minutes=config.minutes / 3)
    tried = {
        rate: gain("validation", tune_lora(model, job.examples, third, learning_rate=rate))
        for rate in rates
    }
    best = max(tried, key=tried.__getitem__)
    tuned = tune_lora(model, job.examples, config, learning_rate=best)
    gains: dict[str, Any] = {side: gain(side, tuned) for side in sides}
    return {"rate": best, "tried": {f"{rate:g}": value for rate, value in tried.items()}, **gains}


def interval(gain: Gain) -> list[float | None]:
    """Mean and ends of the 95 % interval over files; one file gives no interval."""
    return [
        None if value is None else round(value, 5) for value in (gain.mean, gain.low, gain.high)
    ]
