"""Checkpoints of a training run: one safetensors file, without pickle."""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from file_access.regular_file import check_regular_file
from prompts.atomic_write import replace_file
from prompts.configuration import FOLDER
from prompts.errors import PromptWriteError
from prompts.file import SUFFIX

KEY = "attune_run"
UNFINISHED = ".unfinished.safetensors"


def unfinished_path(prompt: Path) -> Path:
    """The checkpoint's path: beside the prompt file that the run writes."""
    return prompt.with_name(prompt.name.removesuffix(SUFFIX) + UNFINISHED)


def fingerprint(parts: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a run depends on; a checkpoint of another run is not loaded."""
    metadata = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(metadata.encode()).hexdigest()


def save(path: Path, run: str, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write the state of the run with the fingerprint `run` in one step.

    Raises `PromptWriteError` if it cannot be written; an earlier checkpoint is then still whole.
    """
    metadata = json.dumps({"run": run, "state": state}, sort_keys=True, allow_nan=True)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        _keep_out_of_git(path.parent)
        replace_file(path, safetensors.torch.save(contiguous, {KEY: metadata}))
    except OSError as error:
        raise PromptWriteError(
            f"{path} could not be written ({error.strerror or error}); check the free space."
        ) from error


def _keep_out_of_git(folder: Path) -> None:
    """Ignore checkpoints in `.attune`, unless the folder has a list of its own."""
    ignored = folder / ".gitignore"
    if folder.name == FOLDER and not ignored.exists():
        ignored.write_text(f"*{UNFINISHED}\n", encoding="utf-8")


def load(path: Path, run: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """State and tensors of the run with the fingerprint `run`.

    None if there is no checkpoint, or it is damaged or of another run.
    """
    try:
        check_regular_file(path, sys.maxsize)
        with safe_open(path, framework="pt") as opened:
            metadata = json.loads((opened.metadata() or {}).get(KEY, "{}"))
            if not isinstance(metadata, dict) or metadata.get("run") != run:
                return None
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return dict(metadata["state"]), tensors
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
