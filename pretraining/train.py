"""The training loop: full rows, a schedule by time, checkpoints that survive a kill."""

import itertools
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from code_model.bfloat16 import bfloat16_wins
from code_model.decoder.llama import Llama, LlamaConfig
from code_model.decoder.loading import load_decoder
from code_model.decoder.precision import dense
from code_model.language_model import ModelLoadError
from code_model.model_folder import read_json, read_model_folder
from code_model.tokenizer import Tokenizer
from pretraining import checkpoint, corpus, export, optimiser
from pretraining.rows import IGNORED, Rows, stream

PROGRESS = "progress.json"  # in an export, so that another machine can continue from it
LOG_SECONDS = 1.0  # between two reads of the losses; each waits for the device


def mean_loss(model: Llama, hidden: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats of hidden states (B, T, D) over the labels (B, T) that count."""
    logits = model.logits(hidden).float()
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def rate(fraction: float, step: int, warmup_steps: int, decay_from: float) -> float:
    """Share of the peak learning rate after this fraction of the time.

    Linear warm-up over `warmup_steps`, then constant until the fraction `decay_from`, then linear
    to zero.
    """
    warm = min(1.0, (step + 1) / warmup_steps)
    return warm * min(1.0, (1.0 - fraction) / (1.0 - decay_from))


def stage(stages: list[list[float]], fraction: float) -> tuple[int, int]:
    """Row length (tokens) and rows per step after this fraction of the time.

    A stage is its share of the time, its row length and its rows per step.
    """
    ends = itertools.accumulate(share for share, _, _ in stages)
    chosen = next(
        (row for end, row in zip(ends, stages, strict=True) if fraction < end), stages[-1]
    )
    return int(chosen[1]), int(chosen[2])


def train(
    folder: Path,
    config: dict[str, Any],
    run: str,
    *,
    start: Path | None = None,
    continued: bool = False,
    call_minutes: float | None = None,
) -> None:
    """Train until the minutes of the config are used up; resumed runs count their earlier minutes.

    Writes `checkpoint.pt`, `log.jsonl` and an export in Hugging Face format under `folder/run`.
    `start`: a model folder whose weights and tokenizer a new run begins with; where it is
    `continued`, it is a run's export, and the new run goes on with that run's schedule and rows
    after a new warm-up. `call_minutes`: save a checkpoint and return after this time, for machines
    whose commands may not run longer.

    Raises `pretraining.checkpoint.CheckpointError` if no checkpoint can be read,
    `pretraining.corpus.CorpusError` without a corpus, `code_model.language_model.ModelLoadError` if
    `start` cannot be loaded or has another shape.
    """
    training = TrainingRun(folder, config, run, start, continued=continued)
    settings = config["training"]
    budget_s = 60.0 * settings["minutes"]
    last_save = called = time.monotonic()
    with _progress_bar() as bar:
        task = bar.add_task("training", total=1.0, loss=float("nan"))
        while (seconds := training.progress["seconds"]) < budget_s:
            began = time.monotonic()
            if call_minutes is not None and began - called > 60 * call_minutes:
                break
            loss = training.step(seconds / budget_s)
            training.progress["seconds"] += time.monotonic() - began
            if loss is not None:
                fraction = min(1.0, training.progress["seconds"] / budget_s)
                bar.update(task, completed=fraction, loss=loss)
            if time.monotonic() - last_save > 60 * settings["checkpoint_minutes"]:
                training.save()
                last_save = time.monotonic()
    training.save()


class TrainingRun:
    """A run that can be continued: model, optimisers, rows, progress and log."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        run: str,
        start: Path | None = None,
        *,
        continued: bool = False,
    ) -> None:
        self.folder = folder / run
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = config["training"]
        for name in ("tokenizer.json", "README.md"):
            if start is not None and (start / name).exists() and not (self.folder / name).exists():
                shutil.copy(start / name, self.folder / name)
        self.rows = _rows(folder, config, self.folder / "tokenizer.json")
        # the optimisers were new at the step `warm_from`
        self.progress: dict[str, Any] = {
            "step": 0, "warm_from": 0, "row": 0, "tokens": 0, "seconds": 0.0
        }  # fmt: skip
        self._load(config, start, continued=continued)
        self._log = _Log(self.folder / "log.jsonl")
        self._batches: tuple[tuple[int, int], Iterator[tuple[Tensor, Tensor]]] | None = None
        device = next(self.model.parameters()).device
        self._bfloat16 = bfloat16_wins(device.type, config["model"]["hidden_size"])

    def _load(self, config: dict[str, Any], start: Path | None, *, continued: bool) -> None:
        """Model and optimisers of the last checkpoint, of `start`, or new ones."""
        model = build_model(config)
        model.init_weights(torch.Generator().manual_seed(self.settings["seed"]))
        state = None
        if checkpoint.exists(self.folder / "checkpoint.pt"):
            state = checkpoint.load(self.folder / "checkpoint.pt")
            model.load_state_dict(state["model"])
            self.progress = state["progress"]
        elif start is not None:
            other = dense(load_decoder(read_model_folder(start)).llama)
            if other.config != model.config:
                raise ModelLoadError(f"{start} has not the shape that the config asks for.")
            model.load_state_dict(other.state_dict())
            if continued:
                self.progress = read_json(start / PROGRESS)
                self.progress["warm_from"] = self.progress["step"]
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.optimisers = optimiser.build(model, self.settings)
        if state is not None:
            for each, saved in zip(self.optimisers, state["optimisers"], strict=True):
                each.load_state_dict(saved)
        for block in model.blocks:  # one after the other: all share one compilation
            block.compile(dynamic=False)
        self._loss = torch.compile(mean_loss, dynamic=False)

    def step(self, fraction: float) -> float | None:
        """Train on the next rows; the newest loss, in nats, each time it is logged."""
        length, count = stage(self.settings["stages"], fraction)
        device = next(self.model.parameters()).device
        ids, labels = (tensor.to(device, non_blocking=True) for tensor in self._next(length, count))
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bfloat16):
            loss = self._loss(self.model, self.model(ids), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings["max_grad_norm"])
        share = rate(
            fraction,
            self.progress["step"] - self.progress["warm_from"],
            self.settings["warmup_steps"],
            self.settings["decay_from"],
        )
        for each in self.optimisers:
            for group in each.param_groups:
                group["lr"] = group["peak"] * share
            each.step()
            each.zero_grad(set_to_none=True)
        self.progress["step"] += 1
        self.progress["row"] += count
        self.progress["tokens"] += count * length
        return self._log.add({**self.progress, "length": length}, loss.detach())

    def _next(self, length: int, count: int) -> tuple[Tensor, Tensor]:
        """The next batch; a new stage begins a new stream at the same row."""
        if self._batches is None or self._batches[0] != (length, count):
            rows = stream(self.rows, self.progress["row"], count, length)
            self._batches = ((length, count), rows)
        return next(self._batches[1])

    def save(self) -> None:
        """Write the log, a checkpoint and an export."""
        self._log.write()
        checkpoint.save(
            self.folder / "checkpoint.pt",
            {
                "model": self.model.state_dict(),
                "optimisers": [each.state_dict() for each in self.optimisers],
                "progress": self.progress,
            },
        )
        out, tokenizer = self.folder / "export", self.folder / "tokenizer.json"
        name, card = f"attune-{self.folder.name}", self.folder / "README.md"
        export.export(self.model, tokenizer, out, name, card=card)
        (out / PROGRESS).write_text(json.dumps(self.progress), encoding="utf-8")


def _rows(folder: Path, config: dict[str, Any], tokenizer: Path) -> Rows:
    documents, seed = corpus.read(folder, "train"), config["training"]["seed"]
    return Rows(documents, Tokenizer(tokenizer), folder / "indexes", config["data"], seed)


class _Log:
    """One line of JSON a step, written in batches so that the device need not wait for the log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self.losses: list[Tensor] = []
        self.written = time.monotonic()

    def add(self, entry: dict[str, Any], loss: Tensor) -> float | None:
        """Add a step; the loss as a number (nats) when it is time to write, else None."""
        self.entries.append(entry)
        self.losses.append(loss)
        if time.monotonic() - self.written < LOG_SECONDS:
            return None
        return self.write()

    def write(self) -> float | None:
        """Write the steps since the last call; the newest loss, None if there were none."""
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
