"""The open documents: their texts as the client has them, and where they belong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from completion.request import is_file
from lsp_server.edits import Edit, whole_document_edit, without_surrogates
from lsp_server.locations import Location, locate

LARGE = 2_500_000
"""A document of more characters is large: the model gets an excerpt of it, at least so many
characters on each side of the cursor. An excerpt is too long to be parsed
(`code_context.syntax.MAX_PARSED`), so only the plain window is used."""

BLOCK = 250_000
"""Characters by which an excerpt moves, so that typing does not move it."""


@dataclass(frozen=True)
class Document:
    """One state of an open document.

    `text` is the client's, with any halves of surrogate pairs. `is_in_sync`: no edit was refused
    since the text was last sent as a whole.
    """

    uri: str
    language_id: str
    location: Location
    text: str
    is_in_sync: bool = True

    @property
    def is_large(self) -> bool:
        """Whether it is too large to be parsed."""
        return len(self.text) > LARGE


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
        text = whole_document_edit("", text).inserted
        return self._put(Document(uri, language_id, locate(uri, self._folders), text))

    def change(self, uri: str, edit: Edit) -> Document:
        """Apply an edit to an open document."""
        document = self._documents[unquote(uri)]
        return self._put(replace(document, text=edit.applied_to(document.text)))

    def set_in_sync(self, uri: str, is_in_sync: bool) -> None:
        """Say whether the text of an open document is the client's."""
        self._put(replace(self._documents[unquote(uri)], is_in_sync=is_in_sync))

    def close(self, uri: str) -> None:
        """Remove a document, if it is open."""
        self._documents.pop(unquote(uri), None)

    def get(self, uri: str) -> Document | None:
        """The document as it is now, None if it is not open."""
        return self._documents.get(unquote(uri))

    def is_current(self, document: Document) -> bool:
        """Whether the document is still open with this text."""
        now = self.get(document.uri)
        return now is not None and now.is_in_sync and now.text == document.text

    def texts(self, root: Path | None) -> dict[str, str]:
        """The texts of the open files of a repository, by their path relative to its root.

        Of two documents that are the same file, the one that was changed last counts. Documents
        that are no files, such as old revisions, are left out, and so are large ones: they are
        never retrieved for other files.
        """
        if root is None:
            return {}
        return {
            document.location.path: without_surrogates(document.text)
            for document in self._documents.values()
            if document.location.root == root
            and is_file(document.uri)
            and document.is_in_sync
            and not document.is_large
        }

    def _put(self, document: Document) -> Document:
        key = unquote(document.uri)
        self._documents.pop(key, None)
        self._documents[key] = document
        return document


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
