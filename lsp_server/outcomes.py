"""What became of every suggestion, read from the edits that follow it.

No editor tells everything, and some tell nothing: an insertion that is the suggestion's own text is
an acceptance, one of its characters at a time is typing through it, anything else in its place
rejects it. Messages of a client confirm what the edits show; telling twice counts once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol
from uuid import uuid4

from rapidfuzz.distance import LCSseq

SEEN_S = 0.75
"""A suggestion that went after a shorter time was hardly read, and is not counted as rejected
(Cody counts one as suggested after the same time)."""

KEPT_AFTER_S = (15, 120, 600)
"""When to look how much of an accepted text still stands; seconds since the acceptance."""

# An editor that closes brackets and quotes by itself inserts both at one keystroke.
PAIRS = ("()", "[]", "{}", '""', "''", "``")

How = Literal["accepted", "partially accepted", "rejected", "typed", "dropped"]


@dataclass(frozen=True)
class Source:
    """Which answer a suggestion is: `suffix` of the file's name, `number` of the engine's answer,
    `prompt` the name of the prompt, None without one."""

    suffix: str = ""
    number: int = 0
    prompt: str | None = None
    compared: bool = False
    """Answered without the prompt, for comparison."""


@dataclass(frozen=True)
class Settled:
    """The end of a suggestion. `offered` and `taken` count code points; typed ones are not taken.

    `start` is where its text stands or stood, `text` the whole of it.
    """

    id: str
    how: How
    uri: str
    start: int
    text: str
    offered: int
    taken: int
    source: Source


@dataclass(frozen=True)
class Kept:
    """How many code points of an accepted text still stood `seconds` after its acceptance."""

    id: str
    seconds: int
    characters: int


class Timer(Protocol):
    """What `asyncio`'s call_later returns."""

    def cancel(self) -> None:
        """Do not call."""


Later = Callable[[float, Callable[[], None]], Timer]


@dataclass
class _Suggestion:
    """`items`: the alternatives by id that agree with what was typed; `done` code points of them
    stand in the document from `start` on. `taken`: the places, from 0, of those that an accept
    command inserted."""

    uri: str
    start: int
    items: dict[str, str]
    done: int
    born: float
    source: Source
    taken: set[int] = field(default_factory=set)
    first: str = ""


@dataclass
class _Accepted:
    """Where an accepted text stands, and the timers of the looks at it by their seconds."""

    id: str
    start: int
    end: int
    text: str
    timers: dict[int, Timer] = field(default_factory=dict)


class Outcomes:
    """Follows the latest suggestion of every document, and every accepted text for ten minutes.

    `clock` gives seconds, `later` calls after seconds. Not thread-safe: the event loop's own.
    """

    def __init__(
        self,
        settled: Callable[[Settled], None],
        kept: Callable[[Kept], None],
        clock: Callable[[], float],
        later: Later,
    ) -> None:
        self._tell_settled = settled
        self._tell_kept = kept
        self._clock = clock
        self._later = later
        self._open: dict[str, _Suggestion] = {}
        self._accepted: dict[str, list[_Accepted]] = {}
        self._texts: dict[str, str] = {}

    def offer(
        self, uri: str, start: int, cursor: int, texts: list[str], text: str, source: Source
    ) -> list[str]:
        """Ids for the items that are about to be sent, the first the one that is shown.

        Each of `texts` goes to `start` of the document `text`, of which `cursor - start` code
        points are typed already. What continues the open suggestion keeps its id.
        """
        self._texts[uri] = text
        before = self._open.get(uri)
        if before is not None:
            between = text[before.start : start]
            known = {whole: id_ for id_, whole in before.items.items()}
            ids = [known.get(between + one, "") for one in texts]
            if any(ids):
                ids = [id_ or uuid4().hex for id_ in ids]
                before.source = source
                before.items = dict(zip(ids, (between + one for one in texts), strict=True))
                return ids
            here = before.start <= cursor <= before.start + before.done
            self._end(before, "dropped" if here else "rejected")
        ids = [uuid4().hex for _ in texts]
        items = dict(zip(ids, texts, strict=True))
        self._open[uri] = _Suggestion(
            uri, start, items, cursor - start, self._clock(), source, first=ids[0]
        )
        return ids

    def edited(self, uri: str, start: int, end: int, inserted: str, text: str) -> None:
        """The code points from `start` to `end` were replaced, and the document now is `text`."""
        self._texts[uri] = text
        change = len(inserted) - (end - start)
        for accepted in self._accepted.get(uri, []):
            _move(accepted, start, end, change)
        suggestion = self._open.get(uri)
        if suggestion is None:
            return
        if end <= suggestion.start and start < suggestion.start:
            suggestion.start += change
        elif start < suggestion.start:
            self._end(suggestion, "dropped")
        elif start <= suggestion.start + suggestion.done:
            self._follow(suggestion, start, inserted)

    def closed(self, uri: str) -> None:
        """The document went; what is kept of its accepted texts is what stood there at last."""
        if suggestion := self._open.get(uri):
            self._end(suggestion, "dropped")
        for accepted in list(self._accepted.get(uri, [])):
            for seconds in list(accepted.timers):
                accepted.timers[seconds].cancel()
                self._look(uri, accepted, seconds)
        self._accepted.pop(uri, None)
        self._texts.pop(uri, None)

    def close(self) -> None:
        """Close every document."""
        for uri in list(self._texts):
            self.closed(uri)

    def shown(self, id_: str) -> None:
        """A client says that the item is on the screen: the time to read it begins."""
        if suggestion := self._with(id_):
            suggestion.born = min(suggestion.born, self._clock())
            suggestion.first = id_

    def accepted(self, id_: str) -> None:
        """A client says that the item was accepted whole."""
        if suggestion := self._with(id_):
            suggestion.first, whole = id_, len(suggestion.items[id_])
            # Where all of it stands, its last character came by itself: a longer edit ends it.
            suggestion.taken.update(range(min(suggestion.done, whole - 1), whole))
            suggestion.done = whole
            self._end(suggestion, "accepted")

    def partially_accepted(self, id_: str, text: str, length: int) -> None:
        """A client says that the first `length` code points of an item are accepted so far.

        `text` is the item as it was sent: its rest, if it was sent when a part was typed.
        """
        if suggestion := self._with(id_):
            suggestion.first, whole = id_, suggestion.items[id_]
            start = len(whole) - len(text) if whole.endswith(text) else 0
            suggestion.taken.update(range(start, min(start + length, len(whole))))

    def rejected(self, id_: str) -> None:
        """A client says that the item was dismissed."""
        if suggestion := self._with(id_):
            self._end(suggestion, "rejected")

    def _with(self, id_: str) -> _Suggestion | None:
        return next((one for one in self._open.values() if id_ in one.items), None)

    def _follow(self, suggestion: _Suggestion, start: int, inserted: str) -> None:
        """An edit where the suggestion stands: more of it, less of it, or something else."""
        text = self._texts[suggestion.uri]
        stands = text[suggestion.start : start + len(inserted)]
        typed = len(inserted) <= 1
        agree = {id_: one for id_, one in suggestion.items.items() if one.startswith(stands)}
        if not agree and inserted in PAIRS:
            stands, typed = stands[:-1], True
            agree = {id_: one for id_, one in suggestion.items.items() if one.startswith(stands)}
        if not agree:
            self._end(suggestion, "rejected")
            return
        if not typed:
            suggestion.taken.update(range(suggestion.done, len(stands)))
        suggestion.done = len(stands)
        suggestion.taken.intersection_update(range(suggestion.done))
        suggestion.items = agree
        whole = next((id_ for id_, one in agree.items() if one == stands), None)
        if whole is not None:
            suggestion.first = whole
            if not typed:  # else its last character may have been accepted: the client has a word
                self._end(suggestion, "accepted")

    def _end(self, suggestion: _Suggestion, how: How) -> None:
        del self._open[suggestion.uri]
        id_ = suggestion.first if suggestion.first in suggestion.items else None
        id_ = id_ or next(iter(suggestion.items))
        text = suggestion.items[id_]
        taken = len(suggestion.taken & set(range(len(text))))
        if suggestion.done == len(text):
            how = "accepted" if taken else "typed"
        elif taken:
            how = "partially accepted"
        elif how == "rejected" and self._clock() - suggestion.born < SEEN_S:
            how = "dropped"
        self._tell_settled(
            Settled(
                id_,
                how,
                suggestion.uri,
                suggestion.start,
                text,
                offered=len(text),
                taken=taken,
                source=suggestion.source,
            )
        )
        if taken:
            self._watch(suggestion.uri, id_, suggestion.start, text[: suggestion.done])

    def _watch(self, uri: str, id_: str, start: int, text: str) -> None:
        accepted = _Accepted(id_, start, start + len(text), text)
        self._accepted.setdefault(uri, []).append(accepted)
        for seconds in KEPT_AFTER_S:
            look = partial(self._look, uri, accepted, seconds)
            accepted.timers[seconds] = self._later(seconds, look)

    def _look(self, uri: str, accepted: _Accepted, seconds: int) -> None:
        now = self._texts.get(uri, "")[accepted.start : accepted.end]
        self._tell_kept(Kept(accepted.id, seconds, LCSseq.similarity(accepted.text, now)))
        del accepted.timers[seconds]
        if not accepted.timers:
            self._accepted[uri].remove(accepted)


def _move(accepted: _Accepted, start: int, end: int, change: int) -> None:
    """Shift or stretch the region of an accepted text by an edit; at its borders it stays out."""
    if end <= accepted.start:
        accepted.start += change
        accepted.end += change
    elif start < accepted.end:
        accepted.end = max(end, accepted.end) + change
        accepted.start = min(start, accepted.start)
