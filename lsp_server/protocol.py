"""The messages that Attune adds to LSP; docs/protocol.md specifies them.

Where the Copilot language server has a message for the same purpose, its name and parameters are
used, so that a client written for that server needs no changes. vscode-client/src/protocol.ts
mirrors this file.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from lsprotocol import types
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from completion.reasons import Reason
from completion.status import Status
from lsp_server.document_sync import (
    DidChangeParams,
    DidCloseParams,
    DidOpenParams,
    DocumentIdentifier,
)

DID_CHANGE_STATUS = "attune/didChangeStatus"
"""Notification from server to client whose params are a `Status`."""

DID_ACCEPT = "attune.didAcceptCompletionItem"
"""Command of every item, with its id as the only argument: a client runs it after accepting."""

DID_SHOW = "textDocument/didShowCompletion"
"""Notification from client to server with `ItemParams`: the item is on the screen."""

DID_PARTIALLY_ACCEPT = "textDocument/didPartiallyAcceptCompletion"
"""Notification from client to server with `PartialAcceptanceParams`."""

DID_REJECT = "textDocument/didRejectCompletion"
"""Notification from client to server with `ItemParams`: the item was dismissed. The Copilot server
has none."""

DID_FOCUS = "textDocument/didFocus"
"""Notification from client to server with `DocumentParams`: its editor got the focus."""

DID_CHANGE_EMPTY_REASON = "attune/didChangeEmptyReason"
"""Notification from server to client whose params are an `EmptyReason`."""

DID_FIND_NO_GAIN = "attune/didFindNoGain"
"""Notification from server to client whose params are a `NoGain`."""

STATISTICS = "attune/statistics"
"""Request with an empty object, answered with `lsp_server.statistics.Summary`."""

LATEST_RESULT = "attune/latestResult"
"""Request with `DocumentParams`, answered with a `LatestResult`, null if there is none."""

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


@dataclass(frozen=True)
class DocumentParams:
    """Params of messages about a document."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    text_document: DocumentIdentifier


@dataclass(frozen=True)
class _Command:
    arguments: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True)
class _Item:
    command: _Command


@dataclass(frozen=True)
class ItemParams:
    """Params of messages about an item, as the server sent it."""

    item: _Item

    @property
    def id(self) -> str:
        """The id that the item's command carries."""
        return self.item.command.arguments[0]


@dataclass(frozen=True)
class _ItemWithText(_Item):
    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    insert_text: str


@dataclass(frozen=True)
class PartialAcceptanceParams(ItemParams):
    """The first `accepted_length` UTF-16 units of the item's text were accepted."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    item: _ItemWithText
    accepted_length: Annotated[int, Field(strict=True)]


@dataclass(frozen=True)
class CancelParams:
    """LSP's `CancelParams`."""

    id: int | str


REQUESTS = frozenset({STATISTICS, LATEST_RESULT})
"""The requests among the messages of this module."""

PARAMS_TYPES: dict[str, TypeAdapter[Any]] = {
    types.CANCEL_REQUEST: TypeAdapter(CancelParams),
    types.TEXT_DOCUMENT_DID_OPEN: TypeAdapter(DidOpenParams),
    types.TEXT_DOCUMENT_DID_CHANGE: TypeAdapter(DidChangeParams),
    types.TEXT_DOCUMENT_DID_CLOSE: TypeAdapter(DidCloseParams),
    DID_FOCUS: TypeAdapter(DocumentParams),
    DID_SHOW: TypeAdapter(ItemParams),
    DID_PARTIALLY_ACCEPT: TypeAdapter(PartialAcceptanceParams),
    DID_REJECT: TypeAdapter(ItemParams),
    STATISTICS: TypeAdapter(Any),
    LATEST_RESULT: TypeAdapter(DocumentParams),
}
"""How the params of messages are read that LSP does not define, or that clients send in forms which
it does not allow, such as a version of null."""
