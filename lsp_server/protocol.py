"""The one message that Attune adds to LSP; vscode-client/src/protocol.ts mirrors it."""

from dataclasses import dataclass
from typing import Literal

DID_CHANGE_STATUS = "attune/didChangeStatus"
"""Notification from server to client whose params are a `Status`."""

StatusKind = Literal["Normal", "Warning", "Error", "Inactive"]


@dataclass(frozen=True)
class Status:
    """What an editor shows of the server: sent when it changes, never for a keystroke.

    `message` is for people: what is the case and, where it helps, what to do.
    """

    kind: StatusKind
    busy: bool
    message: str


LOADING = Status("Normal", True, "Loading the model…")
OFF = Status("Inactive", False, "Off by the client's settings.")
