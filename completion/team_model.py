"""A model on a team server with one on this machine behind it: an editor never waits for long.

A request has a time-out, which the event loop keeps (`timeout_s`). Until half of it has passed the
server may begin to answer; then, or as soon as it is known to fail, the model on this machine
answers in what is left. After a failure the server is left alone for a while, twice as long each
time, and requests go to this machine at once. A server that lacks one repository's prompt has not
failed: it goes on serving the others.
"""

import random
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from code_model.language_model import ModelUnreachableError, PromptUnservedError
from completion.completion_model import Computation, RepositoryModel
from completion.request import CompletionRequest, CompletionResult
from completion.status import Status, StatusListener

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
SPREAD: Final = 0.2  # of a pause, so that the clients of a server that comes back do not all come


class Pauses:
    """How long a server that failed is left alone. One thread may call all but `is_over`."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`clock` gives seconds, `chance` numbers from 0 to 1."""
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._ends_at = -float("inf")

    @property
    def is_over(self) -> bool:
        """Whether the server may be asked."""
        return self._clock() >= self._ends_at

    def failed(self) -> None:
        """The server gave no usable answer: begin a pause."""
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._ends_at = self._clock() + pause * (1 + SPREAD * (2 * self._chance() - 1))

    def answered(self) -> None:
        """The server answered: the next pause is a short one again."""
        self._failures = 0


@dataclass(frozen=True)
class TeamServerName:
    """What a status says of a server, and of the model that answers in its place."""

    host: str
    fallback: str
    timeout_s: float


class TeamModel(RepositoryModel):
    """Completes on the server, else on this machine; the status says which.

    While the server answers, nothing is computed ahead: others wait for it too.
    """

    def __init__(
        self,
        open_remote: Callable[[StatusListener], RepositoryModel],
        open_local: Callable[[StatusListener], RepositoryModel],
        server: TeamServerName,
        report: StatusListener,
        pauses: Pauses | None = None,
    ) -> None:
        """Both models report their statuses, of which the one that counts is passed on."""
        self._server = server
        self._report = report
        self._pauses = pauses or Pauses()
        self._problem: str | None = None
        self._statuses: dict[bool, Status] = {}
        self._remote = open_remote(lambda status: self._set_status(False, status))
        self._local = open_local(lambda status: self._set_status(True, status))

    @property
    def looks_ahead(self) -> bool:
        """See `CompletionModel`: only what this machine computes."""
        return self._problem is not None

    def refresh(self) -> None:
        """See `RepositoryModel`."""
        self._remote.refresh()
        self._local.refresh()

    def add_root(self, root: Path) -> None:
        """See `RepositoryModel`."""
        self._remote.add_root(root)
        self._local.add_root(root)

    def folders(self) -> set[Path]:
        """See `RepositoryModel`."""
        return self._remote.folders() | self._local.folders()

    def version(self, request: CompletionRequest) -> Hashable:
        """See `CompletionModel`."""
        return self._problem is None, self._remote.version(request), self._local.version(request)

    def timeout_s(self, request: CompletionRequest) -> float | None:
        """See `CompletionModel`: that of the server, unless it is left alone."""
        return self._server.timeout_s if self._pauses.is_over else None

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """See `CompletionModel`; empty as "timed_out" where the time-out has passed."""
        if computation.timeout_s is None:  # nobody knew of the server when the request came
            if not self._pauses.is_over:
                return self._local.complete(request, computation)
            computation.limit(self._server.timeout_s)
        try:
            result = self._remote.complete(request, computation)
        except ModelUnreachableError as error:
            self._failed(error)
            result = self._local.complete(request, computation)
        else:
            if result.reason == "cancelled" and computation.timed_out:
                limit_ms = 1000 * self._server.timeout_s
                self._failed(ModelUnreachableError(f"it took longer than {limit_ms:.0f} ms"))
            elif result.reason != "cancelled" and result.generation is not None:
                self._answered()
        if result.reason == "cancelled" and computation.timed_out:
            return replace(result, reason="timed_out")
        return result

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """See `CompletionModel`."""
        if self._pauses.is_over:
            try:
                self._remote.warm(request, computation)
                return
            except ModelUnreachableError as error:
                self._failed(error)
        self._local.warm(request, computation)

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """See `CompletionModel`: for both, on this machine."""
        self._local.check_fit(request, computation)
        self._remote.check_fit(request, computation)

    def _failed(self, error: ModelUnreachableError) -> None:
        if not isinstance(error, PromptUnservedError):
            self._pauses.failed()
        self._problem = str(error)
        self._send()

    def _answered(self) -> None:
        self._pauses.answered()
        if self._problem is not None:
            self._problem = None
            self._send()

    def _set_status(self, is_local: bool, status: Status) -> None:
        self._statuses[is_local] = status
        self._send()

    def _send(self) -> None:
        """The status of the model that answers, with what is to be said of the server."""
        status = self._statuses.get(self._problem is not None)
        if status is None:
            return
        if self._problem is None:
            message = f"{status.message.rstrip('.')}, on the team server {self._server.host}."
            self._report(replace(status, message=message))
            return
        notice = (
            f"The team server {self._server.host} does not serve: {self._problem}. Until it does, "
            f"{self._server.fallback} answers on this machine."
        )
        kind = "Warning" if status.kind == "Normal" else status.kind
        message = f"{notice} {status.message}"
        self._report(replace(status, kind=kind, message=message, model=self._server.fallback))
