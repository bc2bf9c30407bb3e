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
    """

    kind: StatusKind
    busy: bool
    message: str
    prompt: str | None = None


StatusListener = Callable[[Status], None]
"""Receives a new status; may be called from any thread."""
