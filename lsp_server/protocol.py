"""The messages that Attune adds to LSP; docs/protocol.md specifies them.

Names and parameters are the Copilot language server's where it has such a message, so that a client
written for that one needs no changes. vscode-client/src/protocol.ts mirrors this file.
"""

from dataclasses import dataclass
from typing import Literal

from completion.reasons import Reason
from completion.status import Status

DID_CHANGE_STATUS = "attune/didChangeStatus"
"""Notification from server to client whose params are a `Status`."""

DID_ACCEPT = "attune.didAcceptCompletionItem"
"""Command of every item, with its id as the only argument: a client runs it after accepting."""

DID_SHOW = "textDocument/didShowCompletion"
"""Notification from client to server: `{item}` is on the screen."""

DID_PARTIALLY_ACCEPT = "textDocument/didPartiallyAcceptCompletion"
"""Notification from client to server: the first `acceptedLength` UTF-16 units of the insert text of
`item`, counted from its start, were accepted."""

DID_REJECT = "textDocument/didRejectCompletion"
"""Notification from client to server: `{item}` was dismissed. The Copilot server has none."""

DID_FOCUS = "textDocument/didFocus"
"""Notification from client to server: `{textDocument: {uri}}` is looked at now."""
DID_FIND_PROMPT_WORTHLESS = "attune/didFindPromptWorthless"
"""Notification from server to client: `{prompt}` shows no gain in this user's typing."""

STATISTICS = "attune/statistics"
"""Request with an empty object, answered with `lsp_server.statistics.Summary`."""

WHY = "attune/why"
"""Request with `{textDocument: {uri}}`, answered with the `Why` of the latest answer in that
document, null if there was none."""

DID_STAY_SILENT = "attune/didStaySilent"
"""Notification from server to client whose params are a `Silence`."""

LOADING = Status("Normal", True, "Loading the model…")
OFF = Status("Inactive", False, "Off by the client's settings.")


@dataclass(frozen=True)
class Silence:
    """Why the latest request offered nothing: a reason and its words; None: it did.

    Sent when it changes, never for a keystroke.
    """

    reason: Reason | None
    message: str | None


@dataclass(frozen=True)
class WorthlessPrompt:
    """A prompt that shows no gain in this user's typing; told once in the life of a server."""

    prompt: str


@dataclass(frozen=True)
class Why:
    """What served the latest answer: a `source` and the same in words for people.

    "cache": the answer was known; "adopted": an earlier request had begun to compute it; "model":
    computed for this request. `computed` counts the tokens before the first new one, null if the
    model was not asked; all others were in its cache. `reason` says why it was empty.
    """

    source: Literal["model", "cache", "adopted"]
    computed: int | None
    reason: Reason | None
    message: str
