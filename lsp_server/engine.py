"""The one thread that owns the model, and the rule that only the latest request is computed."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from lsp_server.protocol import Status
from lsp_server.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompletionRequest:
    """A text as it was when the request came.

    `path` is relative to the workspace folder, `offset` counts code points; `explicit`: the user
    asked for the completion.
    """

    text: str
    path: str
    offset: int
    explicit: bool = False


Tell = Callable[[Status], None]
"""Takes a new status; may be called from any thread."""

Complete = Callable[[CompletionRequest, Callable[[], bool]], str]
"""The text to insert, empty when there is nothing; looks often whether it is cancelled."""

OpenEngine = Callable[[Settings, Path | None, Tell], Complete]
"""Loads the model for the settings and the workspace folder, and tells when it is ready.

Raises `EngineError` if it cannot.
"""


class EngineError(Exception):
    """No completion is possible; the message says what is wrong and what to do."""


class EngineThread:
    """Runs one request at a time; a newer one cancels everything before it.

    A request that comes while the model loads is answered after that.
    """

    def __init__(self, open_engine: OpenEngine) -> None:
        self._open_engine = open_engine
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="attune-engine")
        self._complete: Complete | None = None
        self._latest = Event()

    def open(self, settings: Settings, root: Path | None, tell: Tell) -> None:
        """Start to load; returns at once."""
        self._executor.submit(self._open, settings, root, tell)

    async def complete(self, request: CompletionRequest) -> str:
        """The text to insert, empty when cancelled, overtaken or without an engine.

        Cancelling the awaiting task stops the engine at its next token.
        """
        cancelled = Event()
        self._latest.set()
        self._latest = cancelled
        try:
            return await asyncio.wrap_future(self._executor.submit(self._run, request, cancelled))
        finally:
            cancelled.set()

    def close(self) -> None:
        """Cancel everything; the thread ends at its next look at the cancel flag."""
        self._latest.set()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _open(self, settings: Settings, root: Path | None, tell: Tell) -> None:
        try:
            self._complete = self._open_engine(settings, root, tell)
        except EngineError as error:
            tell(Status("Error", False, str(error)))
        except Exception as error:
            logger.error("The engine did not start (%s).", describe(error))
            tell(Status("Error", False, f"The engine did not start ({describe(error)})."))

    def _run(self, request: CompletionRequest, cancelled: Event) -> str:
        if self._complete is None or cancelled.is_set():
            return ""
        return self._complete(request, cancelled.is_set)


def describe(error: BaseException) -> str:
    """Type and place of an error. Its message stays out, because it may quote user code."""
    place = error.__traceback__
    if place is None:
        return type(error).__name__
    while place.tb_next is not None:
        place = place.tb_next
    file = Path(place.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} in {file}:{place.tb_lineno}"
