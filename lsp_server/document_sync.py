"""Text synchronisation: the messages that open, change and close documents.

A document whose edit cannot be applied is out of sync. It gets no completions until the client
sends its text as a whole, because a wrong text would give wrong completions in wrong places. The
same holds for a document that is too large.
"""

import logging
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from lsp_server.documents import Document, Documents, edited, refused
from lsp_server.edits import Edit, InvalidEditError, range_edit, whole_document_edit

logger = logging.getLogger(__name__)

MAX_UINTEGER = 2**31 - 1
"""The largest `uinteger` of LSP."""


def _to_str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("not a string")


Text = Annotated[str, PlainValidator(_to_str)]
"""Any JSON string; pydantic's own type refuses halves of surrogate pairs, which editors send."""
UInteger = Annotated[int, Field(strict=True, ge=0, le=MAX_UINTEGER)]


@dataclass(frozen=True)
class DocumentIdentifier:
    """`TextDocumentIdentifier`; a version is not read."""

    uri: str


@dataclass(frozen=True)
class DocumentItem:
    """`TextDocumentItem`; a version is not read."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    uri: str
    text: Text
    language_id: str = ""


@dataclass(frozen=True)
class DidOpenParams:
    """`DidOpenTextDocumentParams`."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    text_document: DocumentItem


@dataclass(frozen=True)
class DidCloseParams:
    """`DidCloseTextDocumentParams`."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    text_document: DocumentIdentifier


@dataclass(frozen=True)
class DidChangeParams:
    """`DidChangeTextDocumentParams`, with changes that are not validated yet."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    text_document: DocumentIdentifier
    content_changes: Any = None


@dataclass(frozen=True)
class _Position:
    line: UInteger
    character: UInteger


@dataclass(frozen=True)
class _Range:
    start: _Position
    end: _Position


@dataclass(frozen=True)
class _Change:
    """`TextDocumentContentChangeEvent`: without a range, `text` is the whole document."""

    text: Text
    range: _Range | None = None


_CHANGES = TypeAdapter(list[_Change])


def change(documents: Documents, params: DidChangeParams) -> list[tuple[Edit, Document]]:
    """Apply the changes of a message: the edits made, and the document after each.

    If a change is invalid, none is applied, and the document is out of sync.
    """
    uri = params.text_document.uri
    document = documents.get(uri)
    if document is None:
        logger.warning("A change of a document that is not open was ignored.")
        return []
    try:
        changes = _CHANGES.validate_python(params.content_changes)
        states = _states(document, changes)
    except (ValidationError, InvalidEditError):
        logger.error("An edit was invalid; its document is out of sync until it is reopened.")
        documents.update(refused(document, "out_of_sync"))
        return []
    if states:
        documents.update(states[-1][1])
    return [(edit, state) for edit, state in states if state.refusal is None]


def _states(document: Document, changes: list[_Change]) -> list[tuple[Edit, Document]]:
    """The edit of each change, and the document after it.

    An edit of a range of a document without a text is left out.
    """
    states = []
    for change in changes:
        if change.range is None:
            edit = whole_document_edit(document.text, change.text)
        elif document.refusal is None:
            start, end = change.range.start, change.range.end
            edit = range_edit(
                document.lines,
                (start.line, start.character),
                (end.line, end.character),
                change.text,
            )
        else:
            continue
        document = edited(document, edit)
        states.append((edit, document))
    return states
