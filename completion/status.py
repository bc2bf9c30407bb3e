"""The state of the model and its prompt, as an editor shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

StatusKind = Literal["Normal", "Warning", "Error", "Inactive"]


@dataclass(frozen=True)
class Status:
    """Sent to the editor when it changes, never per keystroke.

    `message` tells the user the state and, where it helps, what to do. `prompt` identifies the
    prompt in use: its name, an @ and the first digits of its hash; None without a prompt.
    `model` is the name or path of the model that answers, None while there is none.
    """

    kind: StatusKind
    busy: bool
    message: str
    prompt: str | None = None
    model: str | None = None


StatusListener = Callable[[Status], None]
"""Receives a new status; may be called from any thread."""
