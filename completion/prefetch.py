"""Prefetching: while idle, compute the results of the requests that probably come next."""

import asyncio
from dataclasses import replace

from code_context.indentation import indentation_unit
from completion.power import on_battery
from completion.request import CompletionRequest, CompletionResult, line_end
from completion.worker import ModelWorker

IDLE_S = 0.15
"""Time without a request before prefetching begins."""
FIT_CHECK_IDLE_S = 1.0
"""Further time without a request before the prompt-fit check."""
TRIM_IDLE_S = 10.0
"""Further time without a request before free memory is returned."""

DEFAULT_UNIT = "    "
"""Indentation where no line of the file is indented."""


class Prefetcher:
    """After each result: prefetch the next states, then check whether the prompt fits the file, and
    in a long pause return free memory.

    On the battery no state is prefetched: most of them are never asked for. Any request interrupts
    it. All methods are called on the event loop.
    """

    def __init__(self, worker: ModelWorker) -> None:
        self._worker = worker
        self._timer: asyncio.TimerHandle | None = None
        self._interruptions = 0

    def interrupt(self) -> None:
        """Start nothing more; a job that is already running is left to the caller."""
        self._interruptions += 1
        if self._timer is not None:
            self._timer.cancel()

    def schedule(self, request: CompletionRequest, result: CompletionResult) -> None:
        """Prefetch the states after `result` once the server has been idle."""
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._prefetch, request, result)

    def warm(self, request: CompletionRequest) -> None:
        """Prefill the context of a request, then check the prompt's fit, unless a job is running.

        A prompt-fit check is no such job: it gives way.
        """
        if self._is_busy():
            return
        interruptions = self._interruptions

        def check_fit(warmed: "asyncio.Future[CompletionResult]") -> None:
            if interruptions == self._interruptions:
                self._check_fit(request)

        self._worker.start(request, "warm").result.add_done_callback(check_fit)

    def is_prefetching(self, request: CompletionRequest, result: CompletionResult) -> bool:
        """Whether the current job prefetches a state that follows `result`."""
        job = self._worker.job
        return (
            job is not None
            and job.purpose == "prefetch"
            and job.request in next_requests(request, result)
        )

    def _prefetch(self, request: CompletionRequest, result: CompletionResult) -> None:
        """Start the first of the next requests whose result is not cached.

        When all are cached, or on the battery, schedule the prompt-fit check.
        """
        if self._is_busy() or not self._worker.is_open or not self._worker.looks_ahead:
            return
        interruptions = self._interruptions

        def resume(prefetched: CompletionResult) -> None:
            if interruptions == self._interruptions:
                self._prefetch(request, result)

        for next_request in () if on_battery() else next_requests(request, result):
            cached = self._worker.cached(next_request)
            if cached is None:
                self._worker.start(next_request, "prefetch", resume)
                return
            if cached.text:
                break
        self._timer = asyncio.get_running_loop().call_later(
            FIT_CHECK_IDLE_S, self._check_fit, request
        )

    def _check_fit(self, request: CompletionRequest) -> None:
        if self._worker.job is None and self._worker.is_open:
            self._worker.start(request, "fit check")
        self._timer = asyncio.get_running_loop().call_later(TRIM_IDLE_S, self._worker.trim)

    def _is_busy(self) -> bool:
        job = self._worker.job
        return job is not None and job.purpose != "fit check"


def next_requests(request: CompletionRequest, result: CompletionResult) -> list[CompletionRequest]:
    """The requests that probably follow a result: after accepting it, then after Enter."""
    if not result.text and result.reason != "nothing_to_add":
        return []
    accepted = request.after_accepting(result.text)
    requests = [accepted] if result.text else []
    before, after = accepted.text[: accepted.offset], accepted.text[accepted.offset :]
    line = before[before.rfind("\n") + 1 :]
    if line.strip() and not after[: line_end(after, 0)].strip():
        newline = "\r\n" if "\r\n" in request.text else "\n"
        before += newline + _indentation_after(line, request.text)
        requests.append(replace(accepted, text=before + after, offset=len(before)))
    return requests


def _indentation_after(line: str, text: str) -> str:
    """Indentation that an editor gives the next line: deeper behind a colon or open bracket."""
    own = line[: len(line) - len(line.lstrip())]
    if not line.rstrip().endswith((":", "(", "[", "{")):
        return own
    return own + (indentation_unit(text) or DEFAULT_UNIT)
