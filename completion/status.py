"""What an editor shows about the model and the prompt that serve."""

from dataclasses import dataclass
from typing import Literal

StatusKind = Literal["Normal", "Warning", "Error", "Inactive"]


@dataclass(frozen=True)
class Status:
    """What an editor shows of the server: sent when it changes, never for a keystroke.

    `message` is for people: what is the case and, where it helps, what to do. `prompt` is the
    prompt that serves, as its name, an @ and the first digits of its hash; None if none does.
    """

    kind: StatusKind
    busy: bool
    message: str
    prompt: str | None = None
