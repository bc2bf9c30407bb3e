"""From a position in a document to the suggestions there, for both kinds of completion request."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from lsprotocol import types

from code_context.positions import LineIndex
from completion.edit_range import replaced_length
from completion.reasons import JUDGED, Reason
from completion.request import CompletionRequest
from completion.scheduler import CompletionScheduler
from lsp_server.documents import Document, Documents, edited
from lsp_server.edits import Edit, range_edit
from lsp_server.outcomes import OutcomeTracker, Source
from lsp_server.protocol import DID_ACCEPT

WORD = re.compile(r"\w*\Z")
MAX_WORD = 200
"""Characters before the cursor in which its word is searched."""


@dataclass(frozen=True)
class Suggestion:
    """One item: `text` replaces `range`; the client runs `command` after accepting it."""

    text: str
    range: types.Range
    command: types.Command


@dataclass(frozen=True)
class Suggestions:
    """The items, of which the first is shown; without any, `reason` says why."""

    items: tuple[Suggestion, ...] = ()
    reason: Reason | None = None


@dataclass(frozen=True)
class CompletionPosition:
    """Where and how a completion is requested.

    `selected`: the selected entry of the editor's suggestion list; only text that continues it can
    be shown. `from_word`: items begin where the word at the cursor begins, as suggestion lists
    require.
    """

    uri: str
    position: types.Position
    explicit: bool
    selected: types.SelectedCompletionInfo | None = None
    from_word: bool = False


async def suggest(
    at: CompletionPosition,
    documents: Documents,
    scheduler: CompletionScheduler,
    outcomes: OutcomeTracker,
    without_prompt: bool = False,
) -> Suggestions:
    """The suggestions at a position; none if the document has changed since.

    `without_prompt`: serve with the bare model, for the A/B test. Raises `InvalidEditError` for a
    selected entry with an invalid range.
    """
    document = documents.get(at.uri)
    if document is None:
        return Suggestions(reason="not_open")
    if document.refusal is not None:
        return Suggestions(reason=document.refusal)
    lines = document.lines
    cursor = lines.from_utf16(at.position.line, at.position.character)
    edit = _edit_before(at, lines, cursor)
    with_edit = edited(document, edit)
    if with_edit.refusal is not None:
        return Suggestions(reason=with_edit.refusal)
    offset = edit.start + len(edit.inserted)
    result = await scheduler.complete(
        completion_request(documents, with_edit, offset, at.explicit, without_prompt),
        lambda: _current_text(documents, at.uri),
    )
    compared = without_prompt and result.prompt is not None
    source = Source(PurePath(document.location.path).suffix, result.number, result.prompt, compared)
    if not result.text:
        if result.reason in JUDGED and not at.explicit:
            outcomes.not_shown(at.uri, at.position.line, source)
        return Suggestions(reason=result.reason)
    if not documents.is_current(document):
        return Suggestions(reason="stale")
    completions = [result.text, *(result.alternatives or ())]
    texts = [edit.inserted + completion for completion in completions]
    ids = outcomes.track(at.uri, edit.start, cursor, texts, document.text, source)
    ranges = [_range(lines, edit, completion) for completion in completions]
    return Suggestions(
        tuple(
            Suggestion(
                text, range_, types.Command("Accept completion", DID_ACCEPT, arguments=[id_])
            )
            for id_, text, range_ in zip(ids, texts, ranges, strict=True)
        )
    )


def completion_request(
    documents: Documents,
    document: Document,
    offset: int,
    explicit: bool = False,
    without_prompt: bool = False,
) -> CompletionRequest:
    """The request for a cursor at `offset` of a document's text."""
    location = document.location
    return CompletionRequest(
        document.encodable_text,
        location.path,
        offset,
        explicit,
        without_prompt,
        documents.texts(location.root),
        document.uri,
        document.language_id,
        location.root,
    )


def _current_text(documents: Documents, uri: str) -> str:
    document = documents.get(uri)
    return "" if document is None else document.encodable_text


def _edit_before(at: CompletionPosition, lines: LineIndex, cursor: int) -> Edit:
    """The edit that the editor makes in front of the completion when an item is accepted."""
    if at.selected is not None:
        start, end = at.selected.range.start, at.selected.range.end
        return range_edit(
            lines, (start.line, start.character), (end.line, end.character), at.selected.text
        )
    if at.from_word:
        match = WORD.search(lines.text[max(0, cursor - MAX_WORD) : cursor])
        word = match.group() if match else ""
        return Edit(cursor - len(word), cursor, word)
    return Edit(cursor, cursor, "")


def _range(lines: LineIndex, edit: Edit, completion: str) -> types.Range:
    """What an item replaces: the edit's range, and closers that the completion writes again."""
    right = lines.text[edit.end : lines.content_end(lines.line_of(edit.end))]
    end = edit.end + replaced_length(completion, right)
    return types.Range(
        types.Position(*lines.to_utf16(edit.start)), types.Position(*lines.to_utf16(end))
    )
