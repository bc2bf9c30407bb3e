"""The one thread that owns the model, and the rule that only the latest request is computed."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from threading import Event

from lsp_server.protocol import Status
from lsp_server.settings import Settings

logger = logging.getLogger(__name__)

REMEMBERED = 256  # answers whose fate may still be told


@dataclass(frozen=True)
class CompletionRequest:
    """A text as it was when the request came.

    `path` is relative to the workspace folder, `offset` counts code points; `explicit`: the user
    asked for the completion, and wants alternatives too; `without_prompt`: for comparison.
    """

    text: str
    path: str
    offset: int
    explicit: bool = False
    without_prompt: bool = False


@dataclass(frozen=True)
class Answer:
    """The text to insert at the cursor; when it is empty, `reason` is a short code that says why.

    `number` tells answers of one server apart: what the editor knows of an answer's fate it says
    to `EngineThread.accepted` and `EngineThread.rejected` under this number. `prompt` is that of
    the document, used or left out for comparison; `alternatives` are other texts.
    """

    text: str
    reason: str | None = None
    number: int = 0
    prompt: str | None = None
    alternatives: tuple[str, ...] = ()


Tell = Callable[[Status], None]
"""Takes a new status; may be called from any thread."""

Complete = Callable[[CompletionRequest, Callable[[], bool]], Answer]
"""Answers one request; looks often whether it is cancelled."""

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
        self._numbers = count(1)
        self._shown: OrderedDict[int, tuple[CompletionRequest, Answer]] = OrderedDict()
        self._rejected: set[tuple[str, str, str]] = set()

    def open(self, settings: Settings, root: Path | None, tell: Tell) -> None:
        """Start to load; returns at once."""
        self._executor.submit(self._open, settings, root, tell)

    async def complete(self, request: CompletionRequest) -> Answer:
        """The answer, empty when cancelled, overtaken or without an engine.

        Cancelling the awaiting task stops the engine at its next token.
        """
        cancelled = Event()
        self._latest.set()
        self._latest = cancelled
        try:
            found = await asyncio.wrap_future(self._executor.submit(self._run, request, cancelled))
        finally:
            cancelled.set()
        if not request.explicit and (*_site(request), found.text) in self._rejected:
            found = Answer("", "rejected")
        answer = replace(found, number=next(self._numbers))
        self._shown[answer.number] = (request, answer)
        while len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)
        return answer

    def accepted(self, number: int) -> None:
        """The user took the answer of this number, all of it or a part; others are ignored."""
        self._shown.pop(number, None)

    def rejected(self, number: int) -> None:
        """The user dismissed the answer of this number: its text does not return at its place."""
        if number in self._shown:
            request, answer = self._shown.pop(number)
            self._rejected.add((*_site(request), answer.text))

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

    def _run(self, request: CompletionRequest, cancelled: Event) -> Answer:
        if self._complete is None:
            return Answer("", "no_engine")
        if cancelled.is_set():
            return Answer("", "cancelled")
        return self._complete(request, cancelled.is_set)


def _site(request: CompletionRequest) -> tuple[str, str]:
    """The place that a rejection holds for: the file and the text before the cursor's line end."""
    start = request.text.rfind("\n", 0, request.offset) + 1
    return request.path, request.text[start : request.offset]


def describe(error: BaseException) -> str:
    """Type and place of an error. Its message stays out, because it may quote user code."""
    place = error.__traceback__
    if place is None:
        return type(error).__name__
    while place.tb_next is not None:
        place = place.tb_next
    file = Path(place.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} in {file}:{place.tb_lineno}"
