"""The training loop: full rows, time-based schedule, checkpoints that survive a kill."""

import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from code_model.decoder.llama import Llama, LlamaConfig
from code_model.decoder.precision import bfloat16_wins
from code_model.fim import ATTUNE, FimEncoder
from code_model.loading import ModelLoadError, load_model
from code_model.tokenizer import Tokenizer
from pretraining import corpus, export, optimiser
from pretraining.rows import IGNORED, Rows, stream
from prompts.atomic_write import replacement

LOG_SECONDS = 1.0  # between looks at the losses; each look waits for the device


class CheckpointError(Exception):
    """The checkpoint cannot be read; the message says what to do."""


def loss_of(model: Llama, hidden: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats over the labels (B, T) that are not ignored."""
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
    """Write a checkpoint whole or not at all; the one before stays beside it as `.previous`."""
    with replacement(path) as out:
        torch.save(state, out)
        if path.exists():
            path.replace(path.with_suffix(".previous"))


def load(path: Path) -> dict[str, Any]:
    """The newest checkpoint that can be read, the one before it where the last is damaged.

    Raises `CheckpointError` if neither can be read, `FileNotFoundError` if there is none.
    """
    candidates = [one for one in (path, path.with_suffix(".previous")) if one.exists()]
    if not candidates:
        raise FileNotFoundError(f"there is no checkpoint {path}")
    for candidate in candidates:
        try:
            state: dict[str, Any] = torch.load(candidate, weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            print(
                f"pretraining: {candidate.name} cannot be read ({type(error).__name__})",
                file=sys.stderr,
            )
        else:
            return state
    raise CheckpointError(f"No checkpoint beside {path} can be read; delete them to start over.")


def train(
    folder: Path,
    config: dict[str, Any],
    run: str,
    *,
    start: Path | None = None,
    call_minutes: float | None = None,
) -> None:
    """Train until the minutes of the config are used up, counting those before a resume.

    Writes `checkpoint.pt`, `log.jsonl` and an export in Hugging Face format under `folder/run`.
    `start`: a model folder whose weights and tokenizer a new run begins with. `call_minutes`: leave
    a checkpoint and return after so long, for machines that are lent in short turns.

    Raises `CheckpointError` if no checkpoint can be read, `pretraining.corpus.CorpusError` without
    a corpus, `code_model.loading.ModelLoadError` if `start` cannot be loaded or has another shape.
    """
    settings = config["training"]
    out = folder / run
    out.mkdir(parents=True, exist_ok=True)
    if start is not None and not (out / "tokenizer.json").exists():
        shutil.copy(start / "tokenizer.json", out / "tokenizer.json")
    encoder = FimEncoder(Tokenizer(out / "tokenizer.json"), ATTUNE)
    rows = Rows(corpus.read(folder, "train"), encoder, config["data"], settings["seed"])
    rows.vocab_size = config["tokenizer"]["vocab_size"]
    rows.index(os.cpu_count() or 1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(config)
    model.init_weights(torch.Generator().manual_seed(settings["seed"]))
    progress: dict[str, Any] = {"step": 0, "row": 0, "tokens": 0, "seconds": 0.0}
    checkpoint = out / "checkpoint.pt"
    state = None
    if checkpoint.exists() or checkpoint.with_suffix(".previous").exists():
        state = load(checkpoint)
        model.load_state_dict(state["model"])
        progress = state["progress"]
    elif start is not None:
        begun = load_model(start)
        if begun.model.config != model.config:
            raise ModelLoadError(f"{start} has not the shape that the config asks for.")
        model.load_state_dict(begun.model.state_dict())
    model.to(device)
    optimisers = optimiser.build(
        model, settings["muon_lr"], settings["adam_lr"], settings["weight_decay"]
    )
    if state is not None:
        for one, saved in zip(optimisers, state["optimisers"], strict=True):
            one.load_state_dict(saved)
    for block in model.blocks:  # one after the other: all share one compilation
        block.compile(dynamic=False)
    computed_loss = torch.compile(loss_of, dynamic=False)
    fast = bfloat16_wins(device.type, config["model"]["hidden_size"])
    shape = (0, 0)
    batches: Iterator[tuple[Tensor, Tensor]] = iter(())
    budget = 60.0 * settings["minutes"]
    log = _Log(out / "log.jsonl")
    last_save = called = time.monotonic()
    with _progress_bar() as bar:
        task = bar.add_task("training", total=1.0, loss=float("nan"))
        while progress["seconds"] < budget:
            began = time.monotonic()
            if call_minutes is not None and began - called > 60 * call_minutes:
                break
            fraction = progress["seconds"] / budget
            length, count = stage(settings["stages"], fraction)
            share = rate(
                fraction, progress["step"], settings["warmup_steps"], settings["decay_from"]
            )
            if (length, count) != shape:
                shape, batches = (length, count), stream(rows, progress["row"], count, length)
            ids, labels = (one.to(device, non_blocking=True) for one in next(batches))
            with torch.autocast(device.type, torch.bfloat16, enabled=fast):
                loss = computed_loss(model, model(ids), labels)
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
            recent = log.add({**progress, "length": length}, loss.detach())
            progress["seconds"] += time.monotonic() - began
            if recent is not None:
                bar.update(task, completed=min(1.0, progress["seconds"] / budget), loss=recent)
            if time.monotonic() - last_save > 60 * settings["checkpoint_minutes"]:
                log.write()
                _checkpoint(checkpoint, model, optimisers, progress)
                export.export(model, out / "tokenizer.json", out / "export")
                last_save = time.monotonic()
    log.write()
    _checkpoint(checkpoint, model, optimisers, progress)
    export.export(model, out / "tokenizer.json", out / "export")


class _Log:
    """One line of JSON a step, written in batches so that the device need not wait for the log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self.losses: list[Tensor] = []
        self.written = time.monotonic()

    def add(self, entry: dict[str, Any], loss: Tensor) -> float | None:
        """Take a step's entry and loss; the loss as a number, whenever it is time to write."""
        self.entries.append(entry)
        self.losses.append(loss)
        if time.monotonic() - self.written < LOG_SECONDS:
            return None
        return self.write()

    def write(self) -> float | None:
        """Write what has come; the newest loss, None if nothing has come."""
        losses = torch.stack(self.losses).tolist() if self.losses else []
        with self.path.open("a", encoding="utf-8") as out:
            for entry, loss in zip(self.entries, losses, strict=True):
                out.write(json.dumps({**entry, "loss": round(loss, 4)}) + "\n")
        self.entries, self.losses, self.written = [], [], time.monotonic()
        return losses[-1] if losses else None


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.2f}"),
        console=Console(stderr=True),
    )


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
