"""Open documents: text, version and position, each converted by `code_context.positions` alone."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from lsprotocol import types
from pygls.protocol import LanguageServerProtocol, lsp_method
from pygls.uris import to_fs_path
from pygls.workspace import TextDocument, Workspace
from rapidfuzz.distance import Postfix, Prefix

from code_context.positions import LineIndex

LARGE = 2_500_000
"""Characters on each side of the cursor that the engine sees of a large document at least. That is
too much to be parsed (`code_context.syntax.MAX_PARSED`), so the plain window is completed."""
BLOCK = 250_000  # characters by which the part moves: typing leaves it where it is


@dataclass(frozen=True)
class Snapshot:
    """One version of an open document."""

    text: str
    version: int
    path: str
    """Relative to its workspace folder, with forward slashes; outside of all, the file's name."""

    def is_current(self, workspace: Workspace, uri: str) -> bool:
        """Whether the document still is as it was."""
        document = workspace.get_text_document(uri)
        return document.version == self.version and document.source == self.text


def snapshot(workspace: Workspace, uri: str) -> Snapshot | None:
    """The document as it is now, None if it is not open."""
    document: TextDocument = workspace.get_text_document(uri)
    if document.version is None:  # pygls made it up from the disk
        return None
    return Snapshot(
        document.source, document.version, relative_path(document.path, folders(workspace))
    )


def excerpt(text: str, offset: int) -> tuple[str, int]:
    """The part of a large text around `offset`, and where `offset` stands in it.

    A text of up to `LARGE` characters is its own part.
    """
    if len(text) <= LARGE:
        return text, offset
    behind = len(text) - offset
    start, end = _cut_away(offset), len(text) - _cut_away(behind)
    return text[start:end], offset - start


def _cut_away(length: int) -> int:
    """How much of the text on one side of the cursor is too far away."""
    return max(0, length - LARGE) // BLOCK * BLOCK


def open_texts(workspace: Workspace) -> dict[str, str]:
    """The texts of the open documents inside the first workspace folder, by path relative to it.

    Large ones are left out: no other file sees them.
    """
    roots = folders(workspace)[:1]
    found = {}
    for document in workspace.text_documents.values():
        path = PurePath(document.path)
        if document.version is None or len(document.source) > LARGE:
            continue
        if roots and path.is_relative_to(roots[0]):
            found[relative_path(document.path, roots)] = document.source
    return found


def folders(workspace: Workspace) -> list[Path]:
    """The workspace folders on this machine, in the client's order."""
    uris = [folder.uri for folder in workspace.folders.values()]
    if not uris and workspace.root_uri is not None:
        uris = [workspace.root_uri]
    return [Path(path) for path in map(to_fs_path, uris) if path]


def relative_path(path: str, roots: Sequence[Path]) -> str:
    """`path` from the innermost of `roots` around it, with forward slashes, else its name."""
    file = PurePath(path)
    around = [root for root in roots if file.is_relative_to(root)]
    if not around:
        return file.name
    return file.relative_to(max(around, key=lambda root: len(root.parts))).as_posix()


class Utf16Protocol(LanguageServerProtocol):
    """Positions are UTF-16, and lines end where LSP says, not where `str.splitlines` does.

    pygls would end a line at a form feed or U+2028 too, and so apply a client's edits elsewhere.
    """

    on_edit: Callable[[str, "Edit", str], None] | None = None
    """Called after every edit with the document's URI, the edit and the new text."""

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        """Offer UTF-16, which every client must speak, and one of the two kinds of completion."""
        if params.capabilities.general is not None:
            params.capabilities.general.position_encodings = None
        result = yield from super().lsp_initialize(params)
        document = params.capabilities.text_document
        if document is not None and document.inline_completion is not None:
            # The suggestion list is for clients that cannot show grey text.
            result.capabilities.completion_provider = None
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Apply the client's edits."""
        for change in params.content_changes:
            uri = params.text_document.uri
            before = self.workspace.get_text_document(uri).source
            edit = edit_of(before, change)
            text = edit.applied_to(before)
            self.workspace.update_text_document(
                params.text_document, types.TextDocumentContentChangeWholeDocument(text)
            )
            if self.on_edit is not None:
                self.on_edit(uri, edit, text)


@lru_cache(1)
def line_index(text: str) -> LineIndex:
    """The lines of a text; the last one asked for is kept, for the edit that follows a request."""
    return LineIndex(text)


@dataclass(frozen=True)
class Edit:
    """The code points from `start` to `end` give way to `inserted`."""

    start: int
    end: int
    inserted: str

    def applied_to(self, text: str) -> str:
        """`text` after the edit."""
        return text[: self.start] + self.inserted + text[self.end :]


def edit_of(text: str, change: types.TextDocumentContentChangeEvent) -> Edit:
    """A client's change of `text` by offsets; of a whole document, the part that differs."""
    if not isinstance(change, types.TextDocumentContentChangeWholeDocument):
        lines, where = line_index(text), change.range
        start = lines.from_utf16(where.start.line, where.start.character)
        end = lines.from_utf16(where.end.line, where.end.character)
        return Edit(start, end, change.text)
    same = Prefix.similarity(text, change.text)
    tail = Postfix.similarity(text[same:], change.text[same:])
    return Edit(same, len(text) - tail, change.text[same : len(change.text) - tail])
