"""The thread that owns the model, and the cache of its results."""

import asyncio
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Literal

from code_model.allocator import return_free_pages
from completion.cache import CompletionCache
from completion.completion_model import CompletionModel, Computation
from completion.errors import ModelUnavailableError, describe
from completion.reasons import Reason
from completion.request import CompletionRequest, CompletionResult
from completion.status import Status, StatusListener

logger = logging.getLogger(__name__)

UNFINISHED: Final[Collection[Reason | None]] = (
    "cancelled", "no_engine", "out_of_memory", "timed_out",
)  # fmt: skip
"""Reasons of results that the same request may not get again."""

Purpose = Literal["request", "prefetch", "warm", "fit check"]

ModelLoader = Callable[[], CompletionModel]
"""Loads the model on the worker thread. Raises `ModelUnavailableError` if it cannot."""


@dataclass(frozen=True, eq=False)
class Job:
    """One computation on the worker thread. `warm` and `fit check` have no result to use.

    `expired` is done once nobody waits for the result any more.
    """

    request: CompletionRequest
    purpose: Purpose
    result: "asyncio.Future[CompletionResult]"
    expired: "asyncio.Future[None]"
    computation: Computation

    def cancel(self) -> None:
        """Stop it at the next layer."""
        self.computation.cancel()

    def time_out(self) -> None:
        """Stop it at the next layer; who waits for it goes at once."""
        self.computation.time_out()
        if not self.expired.done():
            self.expired.set_result(None)


class ModelWorker:
    """Runs one job at a time: a new job cancels the current one.

    Its methods are called on the event loop. Before `open` it starts no thread.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="attune-model")
        self._model: CompletionModel | None = None
        self._is_open = False
        self._cache = CompletionCache()
        self._job: Job | None = None

    @property
    def is_open(self) -> bool:
        """Whether jobs can be started: between `open` and `close`."""
        return self._is_open

    @property
    def is_loaded(self) -> bool:
        """Whether the model has been loaded."""
        return self._model is not None

    @property
    def looks_ahead(self) -> bool:
        """Whether the model is loaded and may compute what nobody has asked for yet."""
        return self._model is not None and self._model.looks_ahead

    @property
    def job(self) -> Job | None:
        """The current job, cancelled or not."""
        return self._job

    def open(self, load: ModelLoader, report: StatusListener) -> None:
        """Start loading the model and return at once; jobs wait for it."""
        self._is_open = True
        self._executor.submit(self._load, load, report)

    def close(self) -> None:
        """Cancel all jobs; the thread ends at its next test of the cancel flag."""
        self._is_open = False
        self.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def cancel(self) -> None:
        """Cancel the current job, if there is one."""
        if self._job is not None:
            self._job.cancel()

    def trim(self) -> None:
        """Return free memory to the system, after the current job."""
        if self._is_open:
            self._executor.submit(return_free_pages)

    def cached(self, request: CompletionRequest) -> CompletionResult | None:
        """The cached result, None if there is none."""
        if self._model is None:
            return None
        result = self._cache.find(request, self._model.version(request))
        return None if result is None else replace(result, source="cache")

    def start(
        self,
        request: CompletionRequest,
        purpose: Purpose,
        on_result: Callable[[CompletionResult], None] = lambda result: None,
        *,
        waited_s: float = 0.0,
    ) -> Job:
        """Cancel the current job and start another one.

        A result that was not cancelled is cached, and then `on_result` is called. `waited_s`: how
        much of the time that the model allows has passed already.
        """
        self.cancel()
        model = self._model
        version = None if model is None else model.version(request)
        is_limited = model is not None and purpose in ("request", "prefetch")
        timeout_s = model.timeout_s(request) if model is not None and is_limited else None
        loop = asyncio.get_running_loop()
        computation = Computation(timeout_s)
        computation.on_limit = lambda seconds: loop.call_soon_threadsafe(limit, seconds)
        submitted = self._executor.submit(self._run, request, purpose, computation)
        result = asyncio.wrap_future(submitted)
        self._job = job = Job(request, purpose, result, loop.create_future(), computation)
        timer: asyncio.TimerHandle | None = None

        def limit(seconds: float) -> None:
            nonlocal timer
            if not job.result.done():
                timer = loop.call_later(seconds, job.time_out)

        if timeout_s is not None:
            limit(timeout_s - waited_s)

        def done(future: "asyncio.Future[CompletionResult]") -> None:
            if timer is not None:
                timer.cancel()
            if self._job is job:
                self._job = None
            if future.cancelled():
                return
            if (error := future.exception()) is not None:
                if purpose != "request":  # no request awaits the result and would raise the error
                    logger.error("A background job (%s) failed (%s).", purpose, describe(error))
                return
            if future.result().reason not in UNFINISHED:
                self._cache.add(request, future.result(), version)
                on_result(future.result())

        job.result.add_done_callback(done)
        return job

    def _load(self, load: ModelLoader, report: StatusListener) -> None:
        try:
            self._model = load()
        except ModelUnavailableError as error:
            report(Status("Error", False, str(error)))
        except Exception as error:
            logger.error("The model could not be loaded (%s).", describe(error))
            report(Status("Error", False, f"The model could not be loaded ({describe(error)})."))

    def _run(
        self, request: CompletionRequest, purpose: Purpose, computation: Computation
    ) -> CompletionResult:
        if self._model is None:
            return CompletionResult("", "no_engine")
        if not computation.cancelled():
            if purpose in ("request", "prefetch"):
                return self._model.complete(request, computation)
            if purpose == "warm":
                self._model.warm(request, computation)
            else:
                self._model.check_fit(request, computation)
        return CompletionResult("", "cancelled")
