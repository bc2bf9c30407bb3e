"""Checkpoints of a training run that survive a kill at any moment."""

import sys
from pathlib import Path
from typing import Any

import torch

from prompts.atomic_write import replacement


class CheckpointError(Exception):
    """The checkpoint cannot be read; the message says what to do."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically; the one before stays beside it as `.previous`."""
    with replacement(path) as out:
        torch.save(state, out)
        if path.exists():
            path.replace(previous(path))


def load(path: Path) -> dict[str, Any]:
    """The newest readable checkpoint: the last one, else the one before it.

    Raises `CheckpointError` if neither can be read, `FileNotFoundError` if there is none.
    """
    candidates = [file for file in (path, previous(path)) if file.exists()]
    if not candidates:
        raise FileNotFoundError(f"there is no checkpoint {path}")
    for candidate in candidates:
        try:
            state: dict[str, Any] = torch.load(candidate, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            print(
                f"pretraining: {candidate.name} cannot be read ({type(error).__name__})",
                file=sys.stderr,
            )
        else:
            return state
    raise CheckpointError(f"No checkpoint beside {path} can be read; delete them to start over.")


def exists(path: Path) -> bool:
    """Whether there is a checkpoint, or one before it."""
    return path.exists() or previous(path).exists()


def previous(path: Path) -> Path:
    """Where the checkpoint before `path` is kept."""
    return path.with_suffix(".previous")
