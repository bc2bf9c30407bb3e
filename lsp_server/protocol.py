"""The messages that Attune adds to LSP; docs/protocol.md specifies them.

Where the Copilot language server has a message for the same purpose, its name and parameters are
used, so that a client written for that server needs no changes. vscode-client/src/protocol.ts
mirrors this file.
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
"""Notification from client to server: the editor of `{textDocument: {uri}}` got the focus."""

DID_CHANGE_EMPTY_REASON = "attune/didChangeEmptyReason"
"""Notification from server to client whose params are an `EmptyReason`."""

DID_FIND_NO_GAIN = "attune/didFindNoGain"
"""Notification from server to client whose params are a `NoGain`."""

STATISTICS = "attune/statistics"
"""Request with an empty object, answered with `lsp_server.statistics.Summary`."""

LATEST_RESULT = "attune/latestResult"
"""Request with `{textDocument: {uri}}`, answered with a `LatestResult`, null if there is none."""

LOADING = Status("Normal", True, "Loading the model…")
OFF = Status("Inactive", False, "Off by the client's settings.")


@dataclass(frozen=True)
class EmptyReason:
    """Why the latest request had an empty answer: a reason and its words.

    Both are None if it had a suggestion. Sent only when the reason changes.
    """

    reason: Reason | None
    message: str | None


@dataclass(frozen=True)
class NoGain:
    """The A/B test's verdict on `prompt` is "no_gain"; sent once per prompt in a server's life."""

    prompt: str


@dataclass(frozen=True)
class LatestResult:
    """How the latest answer in a document came about.

    `source` is "cache" (a cached result), "adopted" (a result that an earlier request had started)
    or "model" (computed for this request). `prefilled` counts the tokens computed before the first
    new one, null if the model did not run; its KV cache held all others. `reason` says why the
    answer was empty, `message` all of this as a sentence.
    """

    source: Literal["model", "cache", "adopted"]
    prefilled: int | None
    reason: Reason | None
    message: str
