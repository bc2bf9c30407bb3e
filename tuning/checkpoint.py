"""A run that was stopped goes on where it was: everything it needs, in one file without pickle."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prompts.atomic_write import replace_file
from prompts.configuration import FOLDER
from prompts.errors import PromptWriteError
from prompts.file import SUFFIX

KEY = "attune_run"
UNFINISHED = ".unfinished.safetensors"


def unfinished_path(prompt: Path) -> Path:
    """Where the state of an unfinished run lies: beside the prompt that it is to become."""
    return prompt.with_name(prompt.name.removesuffix(SUFFIX) + UNFINISHED)


def fingerprint(parts: Mapping[str, Any]) -> str:
    """SHA-256 of what a run depends on; a state of another run is never taken up."""
    described = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(described.encode()).hexdigest()


def save(path: Path, run: str, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write the state of run `run` (its fingerprint) in one step.

    Raises `PromptWriteError` if it cannot be written; what stood there is then still whole.
    """
    described = json.dumps({"run": run, "state": state}, sort_keys=True, allow_nan=True)
    held = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        _keep_out_of_git(path.parent)
        replace_file(path, safetensors.torch.save(held, {KEY: described}))
    except OSError as error:
        raise PromptWriteError(
            f"{path} could not be written ({error.strerror or error}); check the free space."
        ) from error


def _keep_out_of_git(folder: Path) -> None:
    """What is unfinished is not for `.attune`'s history; a list that is there is left alone."""
    ignored = folder / ".gitignore"
    if folder.name == FOLDER and not ignored.exists():
        ignored.write_text(f"*{UNFINISHED}\n", encoding="utf-8")


def load(path: Path, run: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The state of run `run`, None if there is none, it is damaged, or of another run."""
    try:
        with safe_open(path, framework="pt") as opened:
            described = json.loads((opened.metadata() or {}).get(KEY, "{}"))
            if not isinstance(described, dict) or described.get("run") != run:
                return None
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return dict(described["state"]), tensors
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
