"""The open documents: their texts as the client has them, and where they belong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from code_context.positions import LineIndex
from completion.request import is_file
from lsp_server.edits import Edit, has_surrogates, whole_document_edit, without_surrogates
from lsp_server.locations import Location, locate

MAX_CHARACTERS = 2_500_000
"""A document of more characters is too large: its text is not kept, so a keystroke in it costs
nothing. Editors switch most of their own features off in files of a few times that size."""

Refusal = Literal["out_of_sync", "too_large"]
"""Why a document gets no completions: a reason of `completion.reasons`."""


@dataclass(frozen=True)
class Document:
    """One state of an open document.

    The text of `lines` is the client's, with any halves of surrogate pairs. `refusal`: why the text
    is not known, until it is sent as a whole; None if it is.
    """

    uri: str
    language_id: str
    location: Location
    lines: LineIndex
    refusal: Refusal | None = None
    may_have_surrogates: bool = False

    @property
    def text(self) -> str:
        """The client's text."""
        return self.lines.text

    @property
    def encodable_text(self) -> str:
        """The text with U+FFFD for halves of pairs, which UTF-8 cannot encode; of equal length."""
        return without_surrogates(self.text) if self.may_have_surrogates else self.text


class Documents:
    """The open documents by URI, the most recently changed one last. For the event loop only.

    The texts change in the order in which messages arrive. Versions are not compared: some clients
    send null or repeat one, and the connection keeps the order.
    """

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._documents: dict[str, Document] = {}

    def set_folders(self, folders: Sequence[Path]) -> None:
        """Set the workspace folders."""
        self._folders = list(folders)
        for document in list(self._documents.values()):
            self._put(replace(document, location=locate(document.uri, self._folders)))

    def open(self, uri: str, language_id: str, text: str) -> Document:
        """Add a document; a document that is already open is replaced."""
        empty = Document(uri, language_id, locate(uri, self._folders), LineIndex(""))
        if len(text) > MAX_CHARACTERS:
            return self._put(replace(empty, refusal="too_large"))
        return self._put(edited(empty, whole_document_edit("", text)))

    def update(self, document: Document) -> None:
        """Set the state of an open document."""
        self._put(document)

    def close(self, uri: str) -> None:
        """Remove a document, if it is open."""
        self._documents.pop(unquote(uri), None)

    def get(self, uri: str) -> Document | None:
        """The document as it is now, None if it is not open."""
        return self._documents.get(unquote(uri))

    def is_current(self, document: Document) -> bool:
        """Whether the document is still open with this text."""
        now = self.get(document.uri)
        return now is not None and now.refusal is None and now.text == document.text

    def texts(self, root: Path | None) -> dict[str, str]:
        """The texts of the open files of a repository, by their path relative to its root.

        Of two documents that are the same file, the one that was changed last counts. Documents
        that are no files, such as old revisions, are left out.
        """
        if root is None:
            return {}
        return {
            document.location.path: document.encodable_text
            for document in self._documents.values()
            if document.location.root == root and is_file(document.uri) and document.refusal is None
        }

    def _put(self, document: Document) -> Document:
        key = unquote(document.uri)
        self._documents.pop(key, None)
        self._documents[key] = document
        return document


def edited(document: Document, edit: Edit) -> Document:
    """The document after an edit; without a text if it is too large then."""
    size = len(document.text) + len(edit.inserted) - (edit.end - edit.start)
    if size > MAX_CHARACTERS:
        return refused(document, "too_large")
    return replace(
        document,
        lines=document.lines.edited(edit.start, edit.end, edit.inserted),
        refusal=None,
        may_have_surrogates=document.may_have_surrogates or has_surrogates(edit.inserted),
    )


def refused(document: Document, reason: Refusal) -> Document:
    """The document, whose text is not known any more."""
    return replace(document, lines=LineIndex(""), refusal=reason, may_have_surrogates=False)
