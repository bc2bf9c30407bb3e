"""A completion model that a test controls, in place of a language model."""

import asyncio
import threading
from collections.abc import Callable, Hashable

from completion.completion_model import CompletionModel, Computation
from completion.request import CompletionRequest, CompletionResult


class FakeModel(CompletionModel):
    """Answers with `answer(request)` when `gate` is open; tests once whether it is cancelled.

    Reason for its size: what it answers, what it was called with and gates, for each method.
    """

    def __init__(self) -> None:
        self.answer: Callable[[CompletionRequest], str] = lambda request: "answer"
        self.alternatives: tuple[str, ...] = ()
        self.prompt: str | None = None
        self.partial_text = ""
        self.ends = False
        self.model_version = 0
        self.versions: dict[str, int] = {}
        """Of the documents with these paths; the others have `model_version`."""
        self.requests: list[CompletionRequest] = []
        self.cancelled: list[CompletionRequest] = []
        self.warmed: list[CompletionRequest] = []
        self.fit_checks: list[CompletionRequest] = []
        self.cancelled_fit_checks: list[bool] = []
        self.limit_s: float | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.fit_check_gate = threading.Event()
        self.fit_check_gate.set()
        self._began = threading.Semaphore(0)
        self._ended = threading.Semaphore(0)
        self._fit_check_began = threading.Semaphore(0)

    def version(self, request: CompletionRequest) -> Hashable:
        return self.versions.get(request.path, self.model_version)

    def timeout_s(self, request: CompletionRequest) -> float | None:
        return self.limit_s

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        self.warmed.append(request)

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        self.fit_checks.append(request)
        self._fit_check_began.release()
        assert self.fit_check_gate.wait(60)
        self.cancelled_fit_checks.append(computation.cancelled())

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        self.requests.append(request)
        computation.update(self.partial_text)
        self._began.release()
        assert self.gate.wait(60)
        try:
            if computation.cancelled():
                self.cancelled.append(request)
                return CompletionResult("", "cancelled")
            text = self.answer(request)
            return CompletionResult(
                text,
                None if text else "nothing_to_add",
                prompt=self.prompt,
                alternatives=self.alternatives,
                ends=self.ends,
            )
        finally:
            self._ended.release()

    async def began(self) -> None:
        """Wait until one more request has reached the model."""
        assert await asyncio.to_thread(self._began.acquire, timeout=60)

    async def ended(self) -> None:
        """Wait until one more request has left it."""
        assert await asyncio.to_thread(self._ended.acquire, timeout=60)

    async def fit_check_began(self) -> None:
        """Wait until one more prompt-fit check has begun."""
        assert await asyncio.to_thread(self._fit_check_began.acquire, timeout=60)
