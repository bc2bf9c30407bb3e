"""The training loop: full rows, time-based schedule, checkpoints that survive a kill."""

import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from code_model.fim import ATTUNE, FimEncoder
from code_model.llama import Llama, LlamaConfig
from code_model.precision import bfloat16_wins
from code_model.tokenizer import Tokenizer
from pretraining import corpus, export, optimiser
from pretraining.rows import IGNORED, Rows, stream


class CheckpointError(Exception):
    """The checkpoint cannot be read; the message says what to do."""


def loss_of(model: Llama, ids: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats over the labels that are not ignored."""
    hidden = model(ids)
    logits = model.logits(hidden).float()
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def rate(fraction: float, step: int, warmup_steps: int, decay_from: float) -> float:
    """Share of the peak rate: linear warm-up in steps, then constant, then linear to zero."""
    warm = min(1.0, (step + 1) / warmup_steps)
    return warm * min(1.0, (1.0 - fraction) / (1.0 - decay_from))


def stage(stages: list[list[float]], fraction: float) -> tuple[int, int]:
    """Row length and rows per step at this share of the time."""
    ends = itertools.accumulate(share for share, _, _ in stages)
    chosen = next(
        (row for end, row in zip(ends, stages, strict=True) if fraction < end), stages[-1]
    )
    return int(chosen[1]), int(chosen[2])


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as out:
        torch.save(state, out)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint. Raises `CheckpointError` if it is damaged."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CheckpointError(
            f"{path.name} cannot be read ({type(error).__name__}); delete it to start over."
        ) from error
    return state


def train(folder: Path, config: dict[str, Any], run: str) -> None:
    """Train until the minutes of the config are used up, counting those before a resume.

    Writes `checkpoint.pt`, `log.jsonl` and an export in Hugging Face format under `folder/run`.
    """
    settings = config["training"]
    out = folder / run
    out.mkdir(parents=True, exist_ok=True)
    encoder = FimEncoder(Tokenizer(out / "tokenizer.json"), ATTUNE)
    rows = Rows(corpus.read(folder, "train"), encoder, config["data"], settings["seed"])
    rows.vocab_size = config["tokenizer"]["vocab_size"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(config)
    model.init_weights(torch.Generator().manual_seed(settings["seed"]))
    model.to(device)
    optimisers = optimiser.build(
        model, settings["muon_lr"], settings["adam_lr"], settings["weight_decay"]
    )
    progress: dict[str, Any] = {"step": 0, "row": 0, "tokens": 0, "seconds": 0.0}
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = load(checkpoint)
        model.load_state_dict(state["model"])
        for one, saved in zip(optimisers, state["optimisers"], strict=True):
            one.load_state_dict(saved)
        progress = state["progress"]
    computed_loss = torch.compile(loss_of, dynamic=False)
    fast = bfloat16_wins(device.type, config["model"]["hidden_size"])
    shape = (0, 0)
    batches: Iterator[tuple[Tensor, Tensor]] = iter(())
    budget = 60.0 * settings["minutes"]
    last_save = time.monotonic()
    while progress["seconds"] < budget:
        began = time.monotonic()
        fraction = progress["seconds"] / budget
        length, count = stage(settings["stages"], fraction)
        share = rate(fraction, progress["step"], settings["warmup_steps"], settings["decay_from"])
        if (length, count) != shape:
            shape, batches = (length, count), stream(rows, progress["row"], count, length)
        ids, labels = next(batches)
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            loss = computed_loss(model, ids.to(device), labels.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
        for one in optimisers:
            for group in one.param_groups:
                group["lr"] = group["peak"] * share
            one.step()
            one.zero_grad(set_to_none=True)
        progress["step"] += 1
        progress["row"] += count
        progress["tokens"] += count * length
        progress["seconds"] += time.monotonic() - began
        with (out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({**progress, "loss": round(loss.item(), 4)}) + "\n")
        if time.monotonic() - last_save > 60 * settings["checkpoint_minutes"]:
            _checkpoint(checkpoint, model, optimisers, progress)
            export.export(model, out / "tokenizer.json", out / "export")
            last_save = time.monotonic()
    _checkpoint(checkpoint, model, optimisers, progress)
    export.export(model, out / "tokenizer.json", out / "export")


def build_model(config: dict[str, Any]) -> Llama:
    """An untrained model of the config's shape."""
    shape = config["model"]
    return Llama(
        LlamaConfig(
            vocab_size=config["tokenizer"]["vocab_size"],
            head_dim=shape["hidden_size"] // shape["num_attention_heads"],
            **shape,
        )
    )


def _checkpoint(
    path: Path, model: Llama, optimisers: list[torch.optim.Optimizer], progress: dict[str, Any]
) -> None:
    state = {
        "model": model.state_dict(),
        "optimisers": [one.state_dict() for one in optimisers],
        "progress": progress,
    }
    save(path, state)
