"""From requests to answers: what is known is not computed again, and one thread owns the model.

Everything but `EngineThread._run` happens on the event loop. At most one computation is under way:
a newer request takes it over if it types what is being generated, else stops it at its next layer.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from code_model.cancel import Cancel
from completion.backoff import Backoff
from completion.cache import CompletionCache
from completion.debouncer import Debouncer
from completion.prefetch import following
from completion.request import CompletionRequest, CompletionResult
from completion.status import Status

logger = logging.getLogger(__name__)

REMEMBERED = 256  # answers whose fate may still be told
IDLE_S = 0.15  # without a request, before the model looks ahead
WEIGH_S = 1.0  # more without one, before it finds out whether the prompt fits the document
ECHO = 3  # characters; fewer that come back after a deletion are chance

Tell = Callable[[Status], None]
"""Takes a new status; may be called from any thread."""


class Run:
    """One computation, seen from both threads: whether to go on, and how far it has come."""

    def __init__(self) -> None:
        self.cancelled = Cancel()
        """Whether to stop; looked at before every layer."""
        self._text = ""
        self._expected = ""

    def cancel(self) -> None:
        """Stop it at its next layer."""
        self.cancelled.set()

    def said(self, text: str) -> None:
        """The text so far; what contradicts the typed text is not finished."""
        self._text = text
        if not self.agrees(self._expected):
            self.cancel()

    def expect(self, typed: str) -> None:
        """The user goes on with `typed`; only an answer that begins with it is of use."""
        self._expected = typed

    def agrees(self, typed: str) -> bool:
        """Whether text so far and typed text are the beginning of one another."""
        return self._text.startswith(typed) or typed.startswith(self._text)


class CompletionModel(Protocol):
    """What answers. Its methods but `version` are called on the engine thread."""

    def complete(self, request: CompletionRequest, run: Run) -> CompletionResult:
        """Answer one request, looking often whether it is cancelled."""

    def warm(self, request: CompletionRequest, run: Run) -> None:
        """Compute ahead what a request at this place or near it would need."""

    def weigh(self, request: CompletionRequest, run: Run) -> None:
        """Find out whether the document's prompt fits it, if that is not known."""

    def version(self) -> Hashable:
        """Another value whenever the same request may get another answer; cheap."""


OpenEngine = Callable[[Any, Path | None, Tell], CompletionModel]
"""Loads the model for the settings and the workspace folder, and tells when it is ready.

Raises `EngineError` if it cannot.
"""


class EngineError(Exception):
    """No completion is possible; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class _Running:
    request: CompletionRequest
    run: Run
    answer: "asyncio.Future[CompletionResult]"
    ahead: bool
    weighs: bool
    """Computes nothing that a request wants, so none waits for it."""


@dataclass(frozen=True)
class _Visit:
    """The last request for a file: the text on both sides, when, and what was deleted just then."""

    before: str
    behind: str
    at: float
    deleted: str


class EngineThread:
    """Answers requests, the latest first and only.

    A request that comes while the model loads is answered after that. Without `open` nothing ever
    runs, and every answer is empty.
    """

    def __init__(
        self, open_engine: OpenEngine, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_engine = open_engine
        self._clock = clock
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="attune-engine")
        self._model: CompletionModel | None = None
        self._opened = False
        self._closed = False
        self._running: _Running | None = None
        self._cache = CompletionCache()
        self._version: Hashable = None
        self._pace = Debouncer(clock)
        self._doubts = Backoff()
        self._visits: dict[str, _Visit] = {}
        self._arrivals = count(1)
        self._latest = 0
        self._idle: asyncio.TimerHandle | None = None
        self._numbers = count(1)
        self._shown: OrderedDict[int, tuple[CompletionRequest, CompletionResult]] = OrderedDict()
        self._latest_in: OrderedDict[str, CompletionResult] = OrderedDict()
        self._rejected: deque[tuple[str, str, str]] = deque(maxlen=REMEMBERED)

    def open(self, settings: Any, root: Path | None, tell: Tell) -> None:
        """Start to load; returns at once."""
        self._opened = True
        self._executor.submit(self._open, settings, root, tell)

    async def complete(
        self, request: CompletionRequest, current: Callable[[], str] = lambda: ""
    ) -> CompletionResult:
        """The answer, empty when cancelled, overtaken or without an engine.

        Cancelling the awaiting task stops the engine at its next layer, unless the document, whose
        text `current` gives, has meanwhile gone on with what the engine is saying: then the next
        request will want the rest.
        """
        self._latest = arrival = next(self._arrivals)
        if self._idle is not None:
            self._idle.cancel()
        if not self._opened or self._closed:
            return CompletionResult("", "no_engine")
        deleted = self._note(request)
        answer = self._known(request)
        if answer is None:
            answer = await self._computed(request, arrival, current)
        elif self._running is not None and not _leads_to(request, answer, self._running):
            self._running.run.cancel()
        if arrival == self._latest:
            self._doubts.said(request.path, answer.text or answer.withheld)
        if not request.explicit:
            answer = self._judged(request, answer, deleted)
        answer = replace(answer, number=next(self._numbers))
        self._shown[answer.number] = (request, answer)
        if answer.reason != "cancelled":
            self._latest_in[request.path] = answer
            self._latest_in.move_to_end(request.path)
            while len(self._latest_in) > REMEMBERED:
                self._latest_in.popitem(last=False)
        while len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)
        if arrival == self._latest and answer.reason != "cancelled" and not self._closed:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(IDLE_S, self._look_ahead, request, answer)
        return answer

    def warm(self, text: str, path: str, uri: str = "") -> None:
        """A document was opened or focused: compute what its first request will need.

        That is expected where the last one was. Whatever is asked goes before it. Then find out
        whether the prompt fits the document.
        """
        if not self._opened or self._closed or _is_of_use(self._running):
            return
        visit = self._visits.get(path)
        offset = 0 if visit is None else min(len(visit.before), len(text))
        request, arrival = CompletionRequest(text, path, offset, uri=uri), self._latest

        def weigh(warmed: "asyncio.Future[CompletionResult]") -> None:
            if arrival == self._latest:
                self._weigh_it(request)

        self._start(request, ahead=True, work=self._warm).answer.add_done_callback(weigh)

    def latest(self, path: str) -> CompletionResult | None:
        """The latest answer in a file, None if there was none."""
        return self._latest_in.get(path)

    def accepted(self, number: int) -> None:
        """The user took the answer of this number, all of it or a part; others are ignored."""
        if self._shown.pop(number, None) is not None:
            self._pace.accepted()

    def rejected(self, number: int) -> None:
        """The user dismissed the answer of this number: its text does not return at its place."""
        if number in self._shown:
            request, answer = self._shown.pop(number)
            self._rejected.append((request.path, _left(request), answer.text))
            self._pace.rejected()

    def close(self) -> None:
        """Cancel everything; the thread ends at its next look at the cancel flag."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
        if self._running is not None:
            self._running.run.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _note(self, request: CompletionRequest) -> str:
        """Learn from how the text changed since the last request; what was just deleted."""
        before, behind = request.text[: request.offset], request.text[request.offset :]
        now, last = self._clock(), self._visits.get(request.path)
        deleted, typed = "", None
        if last is not None and last.behind == behind:
            if before.startswith(last.before):
                typed = before[len(last.before) :]
            if typed:
                self._pace.typed(now - last.at)
            elif typed is not None:
                deleted = last.deleted
            elif last.before.startswith(before):
                deleted = last.before[len(before) :] + last.deleted
        self._doubts.typed(request.path, before[: len(before) - len(typed or "")], typed)
        self._visits[request.path] = _Visit(before, behind, now, deleted)
        return deleted

    def _known(self, request: CompletionRequest) -> CompletionResult | None:
        if self._model is None:
            return None
        if (version := self._model.version()) != self._version:
            self._version = version
            self._cache.clear()
        found = self._cache.find(request)
        return found and replace(found, source="cache", prefilled=None)

    async def _computed(
        self, request: CompletionRequest, arrival: int, current: Callable[[], str]
    ) -> CompletionResult:
        running = self._running
        if running is not None and (typed := _continuation(running, request)) is not None:
            running.run.expect(typed)
            found = await self._awaited(running, current)
            if found.text.startswith(typed) and found.text != typed:
                return replace(found.after(typed), source="adopted", prefilled=None)
            if found.reason not in (None, "cancelled") and found.stays_silent(typed):
                return replace(found, source="adopted", prefilled=None)
            if arrival != self._latest:
                return CompletionResult("", "cancelled")
        if self._running is not None:
            self._running.run.cancel()  # now, and not only when the wait is over
        doubtful = self._doubts.doubts(request.path)
        if not request.explicit and (delay := self._pace.delay_s(doubtful=doubtful)):
            await asyncio.sleep(delay)
            if arrival != self._latest:
                return CompletionResult("", "cancelled")
        return await self._awaited(self._start(request), current)

    async def _awaited(self, running: _Running, current: Callable[[], str]) -> CompletionResult:
        try:
            return await asyncio.shield(running.answer)
        except asyncio.CancelledError:
            request = running.request
            if _typed_since(request, current(), running.run) is None:
                running.run.cancel()
            raise

    def _start(
        self,
        request: CompletionRequest,
        *,
        ahead: bool = False,
        weighs: bool = False,
        work: Callable[[CompletionRequest, Run], CompletionResult] | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> _Running:
        """Compute the answer to a request in place of what runs, remember it, and call `then`."""
        if self._running is not None:
            self._running.run.cancel()
        run, began, version = Run(), self._clock(), self._version
        submitted = self._executor.submit(work or self._run, request, run)
        running = _Running(request, run, asyncio.wrap_future(submitted), ahead, weighs)
        self._running = running

        def done(future: "asyncio.Future[CompletionResult]") -> None:
            if self._running is running:
                self._running = None
            if future.cancelled():
                return
            if (error := future.exception()) is not None:
                if ahead:  # nobody else awaits it
                    logger.error("Nothing was computed ahead (%s).", describe(error))
                return
            answer = future.result()
            if answer.reason in ("cancelled", "no_engine"):
                return
            if not ahead:
                self._pace.answered(self._clock() - began)
            if version == self._version:
                self._remember(request, answer)
                then()

        running.answer.add_done_callback(done)
        return running

    def _remember(self, request: CompletionRequest, answer: CompletionResult) -> None:
        """Keep the answer; where it ends, that there is nothing to add behind it is known too."""
        self._cache.add(request, answer)
        if answer.text and answer.ends and not answer.text.endswith((":", "{")):
            accepted = following(request, answer)[0]
            if self._cache.find(accepted) is None:
                self._cache.add(accepted, CompletionResult("", "nothing_to_add"))

    def _look_ahead(self, request: CompletionRequest, answer: CompletionResult) -> None:
        """While nobody waits: answer the requests that will come after this answer is accepted.

        Where nothing is to be added then, the next one is that after Enter. When all of them are
        known, and nobody asks for a while, find out whether the prompt fits the document.
        """
        if _is_of_use(self._running) or self._closed or self._model is None:
            return
        arrival = self._latest

        def go_on() -> None:
            if arrival == self._latest:
                self._look_ahead(request, answer)

        for next_one in following(request, answer):
            known = self._known(next_one)
            if known is None:
                self._start(next_one, ahead=True, then=go_on)
                return
            if known.text:
                break
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(WEIGH_S, self._weigh_it, request)

    def _weigh_it(self, request: CompletionRequest) -> None:
        if self._running is None and not self._closed:
            self._start(request, ahead=True, work=self._weigh, weighs=True)

    def _judged(
        self, request: CompletionRequest, answer: CompletionResult, deleted: str
    ) -> CompletionResult:
        """Silence for what the user has just turned down."""
        left = _left(request)
        for path, at, text in self._rejected:
            if (
                path == request.path
                and left.startswith(at)
                and left[len(at) :] + answer.text == text
            ):
                return replace(answer, text="", reason="rejected")
        if len(deleted.strip()) >= ECHO and answer.text:
            shorter = min(len(deleted), len(answer.text))
            if shorter >= ECHO and answer.text[:shorter] == deleted[:shorter]:
                return replace(answer, text="", reason="echo_of_deletion")
        return answer

    def _open(self, settings: Any, root: Path | None, tell: Tell) -> None:
        try:
            self._model = self._open_engine(settings, root, tell)
        except EngineError as error:
            tell(Status("Error", False, str(error)))
        except Exception as error:
            logger.error("The engine did not start (%s).", describe(error))
            tell(Status("Error", False, f"The engine did not start ({describe(error)})."))

    def _run(self, request: CompletionRequest, run: Run) -> CompletionResult:
        if self._model is None:
            return CompletionResult("", "no_engine")
        if run.cancelled():
            return CompletionResult("", "cancelled")
        return self._model.complete(request, run)

    def _warm(self, request: CompletionRequest, run: Run) -> CompletionResult:
        if self._model is not None and not run.cancelled():
            self._model.warm(request, run)
        return CompletionResult(
            "", "cancelled"
        )  # nothing was asked, so nothing is to be remembered

    def _weigh(self, request: CompletionRequest, run: Run) -> CompletionResult:
        if self._model is not None and not run.cancelled():
            self._model.weigh(request, run)
        return CompletionResult("", "cancelled")


def _is_of_use(running: _Running | None) -> bool:
    """Whether what runs is anything that a request may want."""
    return running is not None and not running.weighs


def _continuation(running: _Running, request: CompletionRequest) -> str | None:
    """What was typed since the running request, None if its answer is of no use for this one."""
    if running.weighs or running.request.path != request.path or running.run.cancelled():
        return None
    if request.explicit and not running.request.explicit:
        return None
    if request.without_prompt != running.request.without_prompt:
        return None
    return _typed_since(running.request, request.text, running.run, request.offset)


def _typed_since(
    before: CompletionRequest, text: str, run: Run, offset: int | None = None
) -> str | None:
    """What stands in `text` more than before at the cursor, None if that is not the text's start
    or another place changed."""
    added = len(text) - len(before.text)
    if added < 0 or (offset is not None and offset != before.offset + added):
        return None
    if offset is None and added == 0:
        return None
    here = before.offset
    if text[:here] != before.text[:here] or text[here + added :] != before.text[here:]:
        return None
    typed = text[here : here + added]
    return typed if run.agrees(typed) else None


def _leads_to(request: CompletionRequest, answer: CompletionResult, running: _Running) -> bool:
    """Whether what runs is the look ahead from just this answer."""
    return running.ahead and running.request in following(request, answer)


def _left(request: CompletionRequest) -> str:
    """The cursor's line before the cursor: the place that a rejection holds for."""
    start = request.text.rfind("\n", 0, request.offset) + 1
    return request.text[start : request.offset]


def describe(error: BaseException) -> str:
    """Type and place of an error. Its message stays out, because it may quote user code."""
    place = error.__traceback__
    if place is None:
        return type(error).__name__
    while place.tb_next is not None:
        place = place.tb_next
    file = Path(place.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} in {file}:{place.tb_lineno}"
