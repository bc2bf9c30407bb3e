"""From a position to what is offered there, for grey text and for the suggestion list alike."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from lsprotocol import types
from pygls.workspace import Workspace

from completion.edit_range import replaced_length
from completion.request import CompletionRequest
from completion.scheduler import EngineThread
from lsp_server.documents import Edit, edit_of, excerpt, line_index, open_texts, snapshot
from lsp_server.outcomes import Outcomes, Source
from lsp_server.protocol import DID_ACCEPT

WORD = re.compile(r"\w*\Z")


@dataclass(frozen=True)
class Suggestion:
    """One item: `text` takes the place of `range`, and `command` is run after accepting it."""

    text: str
    range: types.Range
    command: types.Command


@dataclass(frozen=True)
class Suggestions:
    """The items, the first one to be shown; without any, `reason` is a code that says why."""

    items: tuple[Suggestion, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a completion is asked for.

    `selected` is the entry that the editor's list has selected: only what continues it can be
    shown. `from_word`: items begin where the word at the cursor begins, as suggestion lists want.
    """

    uri: str
    position: types.Position
    explicit: bool
    selected: types.SelectedCompletionInfo | None = None
    from_word: bool = False


async def offers(
    place: Place,
    workspace: Workspace,
    engine: EngineThread,
    outcomes: Outcomes,
    without_prompt: bool = False,
) -> Suggestions:
    """What to offer, nothing if the document has changed meanwhile.

    `without_prompt`: the bare model answers, for comparison.
    """
    uri = place.uri
    before = snapshot(workspace, uri)
    if before is None:
        return Suggestions(reason="not_open")
    lines = line_index(before.text)
    cursor = lines.from_utf16(place.position.line, place.position.character)
    replaced = _replaced(place, before.text, cursor)
    text, offset = excerpt(
        replaced.applied_to(before.text), replaced.start + len(replaced.inserted)
    )
    answer = await engine.complete(
        CompletionRequest(
            text, before.path, offset, place.explicit, without_prompt, open_texts(workspace), uri
        ),
        lambda: workspace.get_text_document(uri).source,
    )
    if not answer.text:
        return Suggestions(reason=answer.reason)
    if not before.is_current(workspace, uri):
        return Suggestions(reason="stale")
    texts = [replaced.inserted + one for one in (answer.text, *(answer.alternatives or ()))]
    compared = without_prompt and answer.prompt is not None
    source = Source(PurePath(before.path).suffix, answer.number, answer.prompt, compared)
    ids = outcomes.offer(uri, replaced.start, cursor, texts, before.text, source)
    right = before.text[replaced.end : lines.content_end(lines.line_of(replaced.end))]
    start = types.Position(*lines.to_utf16(replaced.start))
    items = []
    for id_, one in zip(ids, texts, strict=True):
        end = replaced.end + replaced_length(one[len(replaced.inserted) :], right)
        where = types.Range(start, types.Position(*lines.to_utf16(end)))
        command = types.Command("Accept completion", DID_ACCEPT, arguments=[id_])
        items.append(Suggestion(one, where, command))
    return Suggestions(tuple(items))


def _replaced(place: Place, text: str, cursor: int) -> Edit:
    """What the editor will have replaced before the new text begins."""
    if place.selected is not None:
        change = types.TextDocumentContentChangePartial(place.selected.range, place.selected.text)
        return edit_of(text, change)
    if place.from_word:
        word = WORD.search(text[max(0, cursor - 200) : cursor])
        typed = word.group() if word else ""
        return Edit(cursor - len(typed), cursor, typed)
    return Edit(cursor, cursor, "")
