"""Suggestion outcomes: accepted, rejected, typed or not shown, derived from the edits that follow.

Editors report different events, some report none. So an insertion of the suggestion's text counts
as an acceptance, its insertion character by character as typing it, and any other text in its place
as a rejection. Reports from a client refine this; an event that is reported twice counts once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol
from uuid import uuid4

from rapidfuzz.distance import LCSseq

MIN_SHOWN_S = 0.75
"""A suggestion that disappears sooner was hardly read and does not count as rejected. Cody counts a
suggestion as shown after the same time."""

RETENTION_S = (15, 120, 600)
"""Seconds after an acceptance at which the characters that are still there are counted."""

# An editor that closes brackets and quotes inserts both characters for one keystroke.
PAIRS = ("()", "[]", "{}", '""', "''", "``")

OutcomeKind = Literal["accepted", "partially accepted", "rejected", "typed", "ignored", "not shown"]


@dataclass(frozen=True)
class Source:
    """Where a suggestion comes from.

    `suffix` is that of the file's name, `number` identifies the completion result, `prompt` is the
    name of the prompt in use or None. `without_prompt`: made without it, for the A/B test.
    """

    suffix: str = ""
    number: int = 0
    prompt: str | None = None
    without_prompt: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a suggestion ended, or that there was none at a place. Lengths count code points; typed
    ones are not accepted ones."""

    id: str
    kind: OutcomeKind
    length: int
    accepted_length: int
    source: Source


@dataclass(frozen=True)
class Retention:
    """How many code points of an accepted text were left `seconds` after the acceptance."""

    id: str
    seconds: int
    characters: int


class Timer(Protocol):
    """The part of `asyncio.TimerHandle` that is used."""

    def cancel(self) -> None:
        """Do not make the call."""


CallLater = Callable[[float, Callable[[], None]], Timer]


@dataclass
class _Suggestion:
    """The current suggestion of a document.

    `items` holds by id the alternatives that agree with the document, in which their first
    `matched` code points stand from `start` on. `accepted` holds the indices, from 0, of code
    points that an accept command inserted. `shown` is the id of the item on the screen.
    """

    uri: str
    start: int
    items: dict[str, str]
    matched: int
    shown_at: float
    source: Source
    shown: str
    accepted: set[int] = field(default_factory=set)


@dataclass
class _AcceptedText:
    """The region of an accepted text, and its pending measurements with their timers."""

    id: str
    start: int
    end: int
    text: str
    pending: dict[int, Timer | None] = field(default_factory=lambda: dict.fromkeys(RETENTION_S))


class OutcomeTracker:
    """Tracks the latest suggestion of each document, and accepted texts for ten minutes.

    `clock` gives seconds; `call_later` is asyncio's. Not thread-safe: for the event loop only.
    """

    def __init__(
        self,
        on_outcome: Callable[[Outcome], None],
        on_retention: Callable[[Retention], None],
        clock: Callable[[], float],
        call_later: CallLater,
    ) -> None:
        self._on_outcome = on_outcome
        self._on_retention = on_retention
        self._clock = clock
        self._call_later = call_later
        self._suggestions: dict[str, _Suggestion] = {}
        self._accepted_texts: dict[str, list[_AcceptedText]] = {}
        self._documents: dict[str, str] = {}
        self._silent_lines: dict[str, int] = {}  # the last place without a suggestion, by document

    def not_shown(self, uri: str, line: int, source: Source) -> None:
        """The model was asked and nothing is shown at a line: a place where nothing is saved.

        Further keystrokes in the line are the same place, until something is suggested there.
        """
        if uri not in self._suggestions and self._silent_lines.get(uri) != line:
            self._silent_lines[uri] = line
            self._on_outcome(Outcome(uuid4().hex, "not shown", 0, 0, source))

    def track(
        self, uri: str, start: int, cursor: int, texts: list[str], document: str, source: Source
    ) -> list[str]:
        """Ids for the items that are about to be sent; the first item is the one to be shown.

        Each of `texts` belongs at `start` of the text `document`, and the user has typed its first
        `cursor - start` code points. An item that continues the current suggestion keeps its id.
        """
        self._documents[uri] = document
        self._silent_lines.pop(uri, None)
        current = self._suggestions.get(uri)
        if current is not None:
            typed = document[current.start : start]
            ids_by_text = {text: id_ for id_, text in current.items.items()}
            ids = [ids_by_text.get(typed + text, "") for text in texts]
            if any(ids):
                ids = [id_ or uuid4().hex for id_ in ids]
                current.source = source
                current.items = dict(zip(ids, (typed + text for text in texts), strict=True))
                return ids
            is_here = current.start <= cursor <= current.start + current.matched
            self._end(current, "ignored" if is_here else "rejected")
        ids = [uuid4().hex for _ in texts]
        items = dict(zip(ids, texts, strict=True))
        self._suggestions[uri] = _Suggestion(
            uri, start, items, cursor - start, self._clock(), source, shown=ids[0]
        )
        return ids

    def edited(self, uri: str, start: int, end: int, inserted: str, document: str) -> None:
        """An edit replaced the code points from `start` to `end`; the text now is `document`."""
        self._documents[uri] = document
        growth = len(inserted) - (end - start)
        for accepted in self._accepted_texts.get(uri, []):
            _move(accepted, start, end, growth)
        suggestion = self._suggestions.get(uri)
        if suggestion is None:
            return
        if end <= suggestion.start and start < suggestion.start:
            suggestion.start += growth
        elif start < suggestion.start:
            self._end(suggestion, "ignored")
        elif start <= suggestion.start + suggestion.matched:
            self._match(suggestion, start, inserted)

    def closed(self, uri: str) -> None:
        """The document was closed: its accepted texts are measured as they are now."""
        if suggestion := self._suggestions.get(uri):
            # Without timers: at the end of the process there is no event loop any more.
            self._end(suggestion, "ignored", start_timers=False)
        for accepted in self._accepted_texts.pop(uri, []):
            for seconds, timer in accepted.pending.items():
                if timer is not None:
                    timer.cancel()
                self._measure(uri, accepted, seconds)
        self._documents.pop(uri, None)
        self._silent_lines.pop(uri, None)

    def close(self) -> None:
        """Treat every document as closed."""
        for uri in list(self._documents):
            self.closed(uri)

    def shown(self, id_: str) -> None:
        """The client reports that the item is on the screen."""
        if suggestion := self._with(id_):
            suggestion.shown_at = min(suggestion.shown_at, self._clock())
            suggestion.shown = id_

    def accepted(self, id_: str) -> None:
        """The client reports that the whole item was accepted."""
        if suggestion := self._with(id_):
            suggestion.shown, length = id_, len(suggestion.items[id_])
            # If all of it stands already, only its last character came by this acceptance: an
            # insertion of more characters would have ended the suggestion as accepted.
            suggestion.accepted.update(range(min(suggestion.matched, length - 1), length))
            suggestion.matched = length
            self._end(suggestion, "accepted")

    def partially_accepted(self, id_: str, text: str, length: int) -> None:
        """The client reports that the first `length` code points of an item were accepted so far.

        `text` is the item as it was sent, which is the rest of it if a part was typed before.
        """
        if suggestion := self._with(id_):
            suggestion.shown, whole = id_, suggestion.items[id_]
            start = len(whole) - len(text) if whole.endswith(text) else 0
            suggestion.accepted.update(range(start, min(start + length, len(whole))))

    def rejected(self, id_: str) -> None:
        """The client reports that the item was dismissed."""
        if suggestion := self._with(id_):
            self._end(suggestion, "rejected")

    def _with(self, id_: str) -> _Suggestion | None:
        candidates = self._suggestions.values()
        return next((candidate for candidate in candidates if id_ in candidate.items), None)

    def _match(self, suggestion: _Suggestion, start: int, inserted: str) -> None:
        """Compare an edit within the suggestion's region with the suggestion."""
        document = self._documents[suggestion.uri]
        region = document[suggestion.start : start + len(inserted)]
        is_typed = len(inserted) <= 1
        items = _starting_with(region, suggestion.items)
        if not items and inserted in PAIRS:
            region, is_typed = region[:-1], True
            items = _starting_with(region, suggestion.items)
        if not items:
            self._end(suggestion, "rejected")
            return
        if not is_typed:
            suggestion.accepted.update(range(suggestion.matched, len(region)))
        suggestion.matched = len(region)
        suggestion.accepted.intersection_update(range(suggestion.matched))
        suggestion.items = items
        complete = next((id_ for id_, text in items.items() if text == region), None)
        if complete is not None:
            suggestion.shown = complete
            # After a single character, wait: the client may report that it was accepted.
            if not is_typed:
                self._end(suggestion, "accepted")

    def _end(
        self, suggestion: _Suggestion, kind: OutcomeKind, *, start_timers: bool = True
    ) -> None:
        del self._suggestions[suggestion.uri]
        items = suggestion.items
        id_ = suggestion.shown if suggestion.shown in items else next(iter(items))
        text = items[id_]
        accepted_length = len(suggestion.accepted & set(range(len(text))))
        if suggestion.matched == len(text):
            kind = "accepted" if accepted_length else "typed"
        elif accepted_length:
            kind = "partially accepted"
        elif kind == "rejected" and self._clock() - suggestion.shown_at < MIN_SHOWN_S:
            kind = "ignored"
        self._on_outcome(Outcome(id_, kind, len(text), accepted_length, suggestion.source))
        if accepted_length:
            uri, start = suggestion.uri, suggestion.start
            end = start + suggestion.matched
            accepted = _AcceptedText(id_, start, end, text[: suggestion.matched])
            self._accepted_texts.setdefault(uri, []).append(accepted)
            for seconds in RETENTION_S if start_timers else ():
                measure = partial(self._measure_on_timer, uri, accepted, seconds)
                accepted.pending[seconds] = self._call_later(seconds, measure)

    def _measure_on_timer(self, uri: str, accepted: _AcceptedText, seconds: int) -> None:
        self._measure(uri, accepted, seconds)
        del accepted.pending[seconds]
        if not accepted.pending:
            self._accepted_texts[uri].remove(accepted)

    def _measure(self, uri: str, accepted: _AcceptedText, seconds: int) -> None:
        region = self._documents.get(uri, "")[accepted.start : accepted.end]
        characters = LCSseq.similarity(accepted.text, region)
        self._on_retention(Retention(accepted.id, seconds, characters))


def _starting_with(prefix: str, items: dict[str, str]) -> dict[str, str]:
    return {id_: text for id_, text in items.items() if text.startswith(prefix)}


def _move(accepted: _AcceptedText, start: int, end: int, growth: int) -> None:
    """Shift or stretch an accepted text's region by an edit; an edit at its border is outside."""
    if end <= accepted.start:
        accepted.start += growth
        accepted.end += growth
    elif start < accepted.end:
        accepted.end = max(end, accepted.end) + growth
        accepted.start = min(start, accepted.start)
