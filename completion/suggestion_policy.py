"""What the user's edits and reactions change: delays, and suggestions that are not repeated."""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from completion.backoff import Backoff
from completion.debouncer import Debouncer
from completion.request import CompletionRequest, CompletionResult

MAX_SUGGESTIONS = 256
"""Suggestions whose acceptance or rejection can still be reported, and rejections that count."""
MAX_DOCUMENTS = 256
"""Documents whose last request is compared with the next one."""
MIN_ECHO = 3
"""Characters; a shorter agreement with what was deleted is chance."""


@dataclass(frozen=True)
class _State:
    """A file at its last request: text on both sides of the cursor, and what was just deleted."""

    before: str
    after: str
    time: float
    deleted: str


@dataclass(frozen=True)
class _Suggested:
    """A suggested text and the line before the cursor where it was suggested.

    Not the request: it holds the texts of all open documents.
    """

    document: str
    left: str
    text: str


class SuggestionPolicy:
    """Learns from edits, acceptances and rejections when to ask and what not to show again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._debouncer = Debouncer(clock)
        self._backoff = Backoff()
        self._states: OrderedDict[str, _State] = OrderedDict()
        self._numbers = count(1)
        self._suggestions: OrderedDict[int, _Suggested] = OrderedDict()
        self._rejections: deque[_Suggested] = deque(maxlen=MAX_SUGGESTIONS)

    def observe(self, request: CompletionRequest) -> str:
        """Learn from the edit since the last request in the file; return what was just deleted."""
        before, after = request.text[: request.offset], request.text[request.offset :]
        now, last = self._clock(), self._states.get(request.document)
        deleted, typed = "", None
        if last is not None and last.after == after:
            if before.startswith(last.before):
                typed = before[len(last.before) :]
            if typed:
                self._debouncer.keystroke(now - last.time)
            elif typed is not None:
                deleted = last.deleted
            elif last.before.startswith(before):
                deleted = last.before[len(before) :] + last.deleted
        self._backoff.typed(request.document, before[: len(before) - len(typed or "")], typed)
        self._states[request.document] = _State(before, after, now, deleted)
        self._states.move_to_end(request.document)
        while len(self._states) > MAX_DOCUMENTS:
            self._backoff.forget(self._states.popitem(last=False)[0])
        return deleted

    def last_offset(self, document: str) -> int:
        """Offset of the last request in a document, 0 if there was none."""
        state = self._states.get(document)
        return 0 if state is None else len(state.before)

    def delay_s(self, request: CompletionRequest) -> float:
        """Seconds to wait for another keystroke before the model is run."""
        if request.explicit:
            return 0.0
        return self._debouncer.delay_s(backoff=self._backoff.is_active(request.document))

    def computed(self, latency_s: float) -> None:
        """Record how long the model took for a request."""
        self._debouncer.answered(latency_s)

    def suggested(self, request: CompletionRequest, result: CompletionResult) -> None:
        """Record the model's result for the latest request, shown or not."""
        self._backoff.suggested(request.document, result.text or result.withheld)

    def numbered(
        self, request: CompletionRequest, result: CompletionResult, deleted: str
    ) -> CompletionResult:
        """The result to show, with a number for `accepted` and `rejected`.

        An automatic suggestion is emptied if it was rejected here or repeats what was `deleted`.
        """
        if not request.explicit:
            result = self._suppressed(request, result, deleted)
        result = replace(result, number=next(self._numbers))
        left = _line_before_cursor(request)
        self._suggestions[result.number] = _Suggested(request.document, left, result.text)
        while len(self._suggestions) > MAX_SUGGESTIONS:
            self._suggestions.popitem(last=False)
        return result

    def accepted(self, number: int) -> None:
        """All or a part of the suggestion was accepted; unknown numbers are ignored."""
        if self._suggestions.pop(number, None) is not None:
            self._debouncer.accepted()

    def rejected(self, number: int) -> None:
        """The suggestion was dismissed; unknown numbers are ignored."""
        suggestion = self._suggestions.pop(number, None)
        if suggestion is not None:
            self._rejections.append(suggestion)
            self._debouncer.rejected()

    def _suppressed(
        self, request: CompletionRequest, result: CompletionResult, deleted: str
    ) -> CompletionResult:
        left = _line_before_cursor(request)
        for rejection in self._rejections:
            if (
                rejection.document == request.document
                and left.startswith(rejection.left)
                and left[len(rejection.left) :] + result.text == rejection.text
            ):
                return replace(result, text="", reason="rejected")
        if len(deleted.strip()) >= MIN_ECHO:
            shorter = min(len(deleted), len(result.text))
            if shorter >= MIN_ECHO and result.text[:shorter] == deleted[:shorter]:
                return replace(result, text="", reason="echo_of_deletion")
        return result


def _line_before_cursor(request: CompletionRequest) -> str:
    start = request.text.rfind("\n", 0, request.offset) + 1
    return request.text[start : request.offset]
