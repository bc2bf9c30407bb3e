"""Open documents: snapshots, paths and edits. Positions are converted to code-point offsets."""

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
"""A document of more characters is large: the model gets an excerpt of it, at least so many
characters on each side of the cursor. An excerpt is too long to be parsed
(`code_context.syntax.MAX_PARSED`), so only the plain window is used."""

BLOCK = 250_000
"""Characters by which an excerpt moves, so that typing does not move it."""


@dataclass(frozen=True)
class Snapshot:
    """One version of an open document."""

    text: str
    version: int
    path: str
    """Relative to the workspace folder, with forward slashes; the file's name if it is in none."""

    def is_current(self, workspace: Workspace, uri: str) -> bool:
        """Whether the document has not changed since."""
        document = workspace.get_text_document(uri)
        return document.version == self.version and document.source == self.text


def snapshot(workspace: Workspace, uri: str) -> Snapshot | None:
    """The document as it is now, None if it is not open."""
    document: TextDocument = workspace.get_text_document(uri)
    if document.version is None:  # not open: pygls has read it from disk
        return None
    return Snapshot(
        document.source, document.version, relative_path(document.path, folders(workspace))
    )


def excerpt(text: str, offset: int) -> tuple[str, int]:
    """The excerpt of a text around `offset`, and the corresponding offset in it.

    The excerpt of a text of up to `LARGE` characters is the whole text.
    """
    if len(text) <= LARGE:
        return text, offset
    start, end = _omitted(offset), len(text) - _omitted(len(text) - offset)
    return text[start:end], offset - start


def _omitted(length: int) -> int:
    """How many of `length` characters on one side of the cursor are left out."""
    return max(0, length - LARGE) // BLOCK * BLOCK


def open_texts(workspace: Workspace) -> dict[str, str]:
    """The texts of the open documents in the first workspace folder, by their path relative to it.

    Large documents are left out, so they are never retrieved for other files.
    """
    roots = folders(workspace)[:1]
    texts = {}
    for document in workspace.text_documents.values():
        path = PurePath(document.path)
        if document.version is None or len(document.source) > LARGE:
            continue
        if roots and path.is_relative_to(roots[0]):
            texts[relative_path(document.path, roots)] = document.source
    return texts


def folders(workspace: Workspace) -> list[Path]:
    """The workspace folders on this machine, in the client's order."""
    uris = [folder.uri for folder in workspace.folders.values()]
    if not uris and workspace.root_uri is not None:
        uris = [workspace.root_uri]
    return [Path(path) for path in map(to_fs_path, uris) if path]


def relative_path(path: str, roots: Sequence[Path]) -> str:
    """`path` relative to the innermost of `roots` that contains it, with forward slashes.

    The file's name if none contains it.
    """
    file = PurePath(path)
    parents = [root for root in roots if file.is_relative_to(root)]
    if not parents:
        return file.name
    return file.relative_to(max(parents, key=lambda root: len(root.parts))).as_posix()


class Utf16Protocol(LanguageServerProtocol):
    """Counts positions in UTF-16 units and ends lines as LSP defines it.

    pygls splits lines by `str.splitlines`, which also ends them at a form feed or U+2028; it would
    apply a client's edits at the wrong place.
    """

    on_edit: Callable[[str, "Edit", str], None] | None = None
    """Called after every edit with the document's URI, the edit and the new text."""

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        """Announce UTF-16, which every client must support, and one of the two completion kinds."""
        if params.capabilities.general is not None:
            params.capabilities.general.position_encodings = None
        result = yield from super().lsp_initialize(params)
        document = params.capabilities.text_document
        if document is not None and document.inline_completion is not None:
            # The suggestion list is for clients without inline completion.
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
    """The line index of a text, cached for the edit that follows a request."""
    return LineIndex(text)


@dataclass(frozen=True)
class Edit:
    """Replaces the code points from `start` to `end` by `inserted`."""

    start: int
    end: int
    inserted: str

    def applied_to(self, text: str) -> str:
        """`text` after the edit."""
        return text[: self.start] + self.inserted + text[self.end :]


def edit_of(text: str, change: types.TextDocumentContentChangeEvent) -> Edit:
    """A client's change of `text` as an `Edit`; for a whole document, the part that differs."""
    if not isinstance(change, types.TextDocumentContentChangeWholeDocument):
        lines, range_ = line_index(text), change.range
        start = lines.from_utf16(range_.start.line, range_.start.character)
        end = lines.from_utf16(range_.end.line, range_.end.character)
        return Edit(start, end, change.text)
    start = Prefix.similarity(text, change.text)
    tail = Postfix.similarity(text[start:], change.text[start:])
    return Edit(start, len(text) - tail, change.text[start : len(change.text) - tail])
