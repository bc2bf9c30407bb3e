"""Scheduling of completion requests: the latest one wins.

A result that is cached costs no model run. A newer request takes over the current decode if the
user types what it generates, else cancels it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from completion.completion_model import Computation
from completion.prefetch import Prefetcher
from completion.request import CompletionRequest, CompletionResult
from completion.status import StatusListener
from completion.suggestion_policy import SuggestionPolicy
from completion.worker import Job, ModelLoader, ModelWorker

MAX_FILES = 256
"""Files whose latest result is kept."""


class CompletionScheduler:
    """Answers requests from the cache or the model. All methods are called on the event loop.

    A request that arrives while the model loads waits for it. Without `open` no thread is started,
    and every result is empty.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._worker = ModelWorker()
        self._policy = SuggestionPolicy(clock)
        self._prefetcher = Prefetcher(self._worker)
        self._latest_request = 0
        self._latest_results: OrderedDict[str, CompletionResult] = OrderedDict()

    def open(self, load: ModelLoader, report: StatusListener) -> None:
        """Start loading the model and return at once; `report` receives an error."""
        self._worker.open(load, report)

    async def complete(
        self, request: CompletionRequest, current_text: Callable[[], str] = lambda: ""
    ) -> CompletionResult:
        """Complete; the result is empty if cancelled, superseded or without a model.

        `current_text` returns the document's text at the time of a cancellation: if the user has
        typed on as predicted, the decode continues for the next request. Raises what the model
        raises.
        """
        self._latest_request += 1
        arrival = self._latest_request
        self._prefetcher.interrupt()
        if not self._worker.is_open:
            return CompletionResult("", "no_engine")
        deleted = self._policy.observe(request)
        result = self._worker.cached(request)
        if result is None:
            result = await self._compute(request, arrival, current_text)
        elif not self._prefetcher.is_prefetching(request, result):
            self._worker.cancel()
        is_latest = arrival == self._latest_request
        if is_latest:
            self._policy.suggested(request, result)
        result = self._policy.numbered(request, result, deleted)
        if result.reason != "cancelled":
            self._remember(request.document, result)
            if is_latest and self._worker.is_open:
                self._prefetcher.schedule(request, result)
        return result

    def warm(self, request: CompletionRequest) -> None:
        """A document was opened or focused: prefill the context of its first request.

        That request is expected at the cursor of the document's last one, whatever the offset of
        `request`. Requests that a user waits for take precedence.
        """
        if self._worker.is_open:
            offset = min(self._policy.last_offset(request.document), len(request.text))
            self._prefetcher.warm(replace(request, offset=offset))

    def latest(self, document: str) -> CompletionResult | None:
        """The latest result in a document (`CompletionRequest.document`), None without one."""
        return self._latest_results.get(document)

    def accepted(self, number: int) -> None:
        """All or a part of the result with this number was accepted."""
        self._policy.accepted(number)

    def rejected(self, number: int) -> None:
        """The result with this number was dismissed."""
        self._policy.rejected(number)

    def close(self) -> None:
        """Cancel everything and let the thread end."""
        self._prefetcher.interrupt()
        self._worker.close()

    async def _compute(
        self, request: CompletionRequest, arrival: int, current_text: Callable[[], str]
    ) -> CompletionResult:
        """Take over the current decode if possible, else wait and run the model."""
        waited_s, began = 0.0, self._clock()
        job = self._worker.job
        if job is not None and (typed := _typed_on(job, request)) is not None:
            job.computation.expect(typed)
            result = await self._wait_for(job, current_text)
            if result.text.startswith(typed) and result.text != typed:
                return replace(result.after(typed), source="adopted")
            if result.reason == "timed_out":
                return result
            if result.reason not in (None, "cancelled") and result.stays_empty(typed):
                return replace(result, source="adopted")
            if arrival != self._latest_request:
                return CompletionResult("", "cancelled")
            waited_s = self._clock() - began
        self._worker.cancel()  # before the delay, not behind it
        if delay := self._policy.delay_s(request):
            await asyncio.sleep(delay)
            if arrival != self._latest_request:
                return CompletionResult("", "cancelled")
        started, was_loaded = self._clock(), self._worker.is_loaded

        def learn(result: CompletionResult) -> None:
            if was_loaded and result.generation is not None:
                self._policy.computed(self._clock() - started)

        job = self._worker.start(request, "request", learn, waited_s=waited_s)
        return await self._wait_for(job, current_text)

    async def _wait_for(self, job: Job, current_text: Callable[[], str]) -> CompletionResult:
        """The job's result; empty once its time is over, though a layer may still be computed.

        A cancelled wait cancels the job unless its text is being typed.
        """
        try:
            await asyncio.wait((job.result, job.expired), return_when=asyncio.FIRST_COMPLETED)
            if job.result.done():
                return job.result.result()
            return CompletionResult("", "timed_out" if job.computation.timed_out else "cancelled")
        except asyncio.CancelledError:
            text = current_text()
            typed = _typed_between(job.request, text, job.computation)
            if not typed:
                job.cancel()
            raise

    def _remember(self, document: str, result: CompletionResult) -> None:
        self._latest_results[document] = result
        self._latest_results.move_to_end(document)
        while len(self._latest_results) > MAX_FILES:
            self._latest_results.popitem(last=False)


def _typed_on(job: Job, request: CompletionRequest) -> str | None:
    """What was typed since the job's request; None if its result is of no use for `request`."""
    before = job.request
    if job.purpose == "fit check" or job.computation.cancelled():
        return None
    if before.document != request.document:
        return None
    if request.explicit and not before.explicit:
        return None
    if request.without_prompt != before.without_prompt:
        return None
    typed = _typed_between(before, request.text, job.computation)
    return typed if request.offset == before.offset + len(typed or "") else None


def _typed_between(before: CompletionRequest, text: str, computation: Computation) -> str | None:
    """What `text` has more at the cursor of `before`.

    None if it differs elsewhere, or if the computation generates something else.
    """
    added = len(text) - len(before.text)
    cursor = before.offset
    if added < 0 or text[:cursor] != before.text[:cursor]:
        return None
    if text[cursor + added :] != before.text[cursor:]:
        return None
    typed = text[cursor : cursor + added]
    return typed if computation.agrees_with(typed) else None
