"""Typing sessions replayed in real time against the server: model runs saved, and waits.

Run `python -m benchmarks.typing_sessions` (see README.md). From each of ten real files the body of
a function is removed and typed again at human speed, with pauses at line ends and wrong letters
that are deleted again. Suggestions that agree with the file are accepted. As in an
editor, every keystroke is a change, a cancellation of the previous request and a new request.
Client and server share one process and exchange JSON; the model runs on its own thread.

With `--large` every step is also computed by a model of the 0.5B shape with random weights, while
the tokens are the default model's (`benchmarks.shape.SlowedForward`): as many tokens, stops, empty
results and cache hits, at the speed of the large model.

An error that the server logs, in a request or in the background, makes the benchmark fail.
"""

import argparse
import asyncio
import json
import logging
import random
import string
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from rapidfuzz.distance import Prefix
from rich.progress import Progress

from benchmarks.files import read_files
from code_context.languages import language_of
from code_context.scopes import find_scopes
from code_context.syntax import parse
from completion.completion_model import CompletionModel, Computation
from completion.request import CompletionRequest, CompletionResult
from completion.status import StatusListener
from lsp_server.json_rpc import LspProtocol
from lsp_server.server import OpenModel, create_server
from lsp_server.settings import Settings

ROOT = Path("/project")
KEYSTROKES = 110
"""Minimum number of keystrokes in each file."""
GAP_S = 0.13
"""Median between keystrokes. Gaps are log-normal, as measured ones are."""
PAUSE_S = 0.7
"""Median at the end of a line."""
NOTICE_S = 0.05
"""Until a person notices a suggestion after a keystroke."""
READ_S = 0.45
"""Median from there until the suggestion is accepted."""
SLIP_RATE = 0.04
"""Share of keystrokes that are a wrong letter, noticed one keystroke later."""
ACCEPT_RATE = 0.8
"""Share of suggestions that agree with the file and are accepted."""
MIN_ACCEPTED = 4
"""Characters; shorter suggestions are not worth a Tab."""


class ErrorCollector(logging.Handler):
    """Collects the errors that the server logs, so that none of them goes unnoticed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.messages.append(record.getMessage())

    def raise_if_any(self) -> None:
        """Raise `RuntimeError` with the messages if there are any."""
        if self.messages:
            raise RuntimeError(f"The server logged errors: {' '.join(self.messages)}")


@dataclass
class Record:
    """Counts and times. Milliseconds are from the keystroke to the response, at the client.

    `model_calls` were started for a request, whether their results were used or not;
    `background_calls` were started while no request waited.

    Reason for its size: one field for each published figure.
    """

    keystrokes: int = 0
    model_calls: int = 0
    background_calls: int = 0
    predicted: set[tuple[str, int]] = field(default_factory=set)
    """Characters that a visible suggestion predicted, as document and distance from the end."""
    processor_s: float = 0.0
    accepted: int = 0
    accepted_characters: int = 0
    overtaken: int = 0
    waits_ms: list[float] = field(default_factory=list)
    waits_without_model_ms: list[float] = field(default_factory=list)
    waits_with_model_ms: list[float] = field(default_factory=list)
    prefilled: list[int] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    shown: int = 0

    def add(self, result: CompletionResult, wait_ms: float) -> None:
        """Count the result of a request that was not overtaken."""
        self.waits_ms.append(wait_ms)
        if result.prefilled is not None:
            self.waits_with_model_ms.append(wait_ms)
            self.prefilled.append(result.prefilled)
            self.sources["model call"] += 1
        else:
            self.waits_without_model_ms.append(wait_ms)
            self.sources["syntax" if result.source == "model" else result.source] += 1
        if result.reason:
            self.reasons[result.reason] += 1

    def summary(self) -> dict[str, Any]:
        """Figures over all requests, one per keystroke.

        Overtaken requests have no result: the next keystroke cancelled them.
        """
        n_answered = len(self.waits_ms)
        return {
            "keystrokes": self.keystrokes,
            "answered": n_answered,
            "overtaken": self.overtaken,
            "model_calls": self.model_calls,
            "model_calls_ahead": self.background_calls,
            "without_model_call": 1 - self.model_calls / self.keystrokes,
            "answered_without_model_call": 1 - len(self.waits_with_model_ms) / n_answered,
            "processor_ms_per_keystroke": 1e3 * self.processor_s / self.keystrokes,
            "shown": self.shown,
            "accepted": self.accepted,
            "accepted_characters": self.accepted_characters,
            "foretold_characters": len(self.predicted),
            "without_model_ms": _quantiles(self.waits_without_model_ms),
            "with_model_ms": _quantiles(self.waits_with_model_ms),
            "keystroke_to_answer_ms": _quantiles(self.waits_ms),
            "prefilled_tokens": _quantiles(self.prefilled),
            "sources": dict(self.sources),
            "reasons": dict(self.reasons.most_common()),
        }


class CountedModel(CompletionModel):
    """Counts the calls of a model."""

    def __init__(self, model: CompletionModel, record: Record) -> None:
        self._model = model
        self._record = record
        self.editor_requests: deque[CompletionRequest] = deque(maxlen=16)
        """The latest requests of the editor; the server makes all others in the background."""

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """Count the call if the language model was run."""
        result = self._model.complete(request, computation)
        if result.prefilled is not None:
            if any(request is editor_request for editor_request in self.editor_requests):
                self._record.model_calls += 1
            else:
                self._record.background_calls += 1
        return result

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """Not counted."""
        self._model.warm(request, computation)

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """Not counted."""
        self._model.check_fit(request, computation)

    @property
    def looks_ahead(self) -> bool:
        """As the model does."""
        return self._model.looks_ahead

    def version(self, request: CompletionRequest) -> Hashable:
        """That of the model."""
        return self._model.version(request)


class Connection:
    """A server in this process, and the client's side of its protocol."""

    def __init__(self, open_model: OpenModel, record: Record) -> None:
        self._model: CountedModel | None = None
        self._ready = asyncio.Event()
        self._responses: dict[int, asyncio.Future[Any]] = {}
        self.last_id = 0
        self.last_result = CompletionResult("")
        """The scheduler's latest result, with more than the protocol shows."""

        def open_counted(
            settings: Settings, roots: Sequence[Path], report: StatusListener
        ) -> CountedModel:
            self._model = CountedModel(open_model(settings, roots, report), record)
            return self._model

        self.server = create_server(open_counted)
        self.server.protocol.set_writer(self, include_headers=False)
        complete = self.server.scheduler.complete

        async def recorded(request: CompletionRequest, *rest: Any) -> CompletionResult:
            if self._model is not None:
                self._model.editor_requests.append(request)
            self.last_result = await complete(request, *rest)
            return self.last_result

        self.server.scheduler.complete = recorded  # type: ignore[method-assign, assignment]

    async def start(self, root: Path) -> None:
        """Initialise and wait until the model is loaded."""
        params = {
            "processId": None,
            "rootUri": root.as_uri(),
            "capabilities": {},
            "initializationOptions": {"statistics": False},
        }
        await self.request("initialize", params)
        self.notify("initialized", {})
        await self._ready.wait()

    def write(self, data: bytes) -> None:
        """Receive a message of the server."""
        message = json.loads(data)
        if "id" in message and "method" not in message:
            response = self._responses.pop(message["id"])
            if not response.done():
                response.set_result(message)
        elif message["method"].endswith("didChangeStatus") and not message["params"]["busy"]:
            self._ready.set()

    def close(self) -> None:
        """Part of a writer; there is nothing to close."""

    def request(self, method: str, params: Any) -> asyncio.Future[Any]:
        """Send a request; the future holds the whole response."""
        self.last_id += 1
        response = self._responses[self.last_id] = asyncio.get_running_loop().create_future()
        self._send({"id": self.last_id, "method": method, "params": params})
        return response

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps({"jsonrpc": "2.0"} | message)
        cast("LspProtocol", self.server.protocol).receive(text.encode())


class Editor:
    """One open document at a time; requests a completion after every edit."""

    def __init__(self, connection: Connection, record: Record) -> None:
        self.record = record
        self.uri, self.text, self.offset = "", "", 0
        self.suggestion = ""
        self._connection = connection
        self._version = 0
        self._pending: tuple[int, asyncio.Task[None]] | None = None

    def open(self, uri: str, text: str, offset: int) -> None:
        """Open another document."""
        self.uri, self.text, self.offset, self._version = uri, text, offset, 1
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self._connection.notify("textDocument/didOpen", {"textDocument": document})

    def replace(self, start: int, end: int, inserted: str) -> None:
        """Edit the document, place the cursor behind the edit, and request a completion."""
        started = time.perf_counter()
        changed = {"start": self._position(start), "end": self._position(end)}
        self.text = self.text[:start] + inserted + self.text[end:]
        self.offset = start + len(inserted)
        self._version += 1
        self.record.keystrokes += 1
        self.suggestion = ""
        self._connection.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": self.uri, "version": self._version},
                "contentChanges": [{"range": changed, "text": inserted}],
            },
        )
        if self._pending is not None and not self._pending[1].done():
            self.record.overtaken += 1
            self._connection.notify("$/cancelRequest", {"id": self._pending[0]})
            self._pending[1].cancel()
        response = self._connection.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": self.uri},
                "position": self._position(self.offset),
                "context": {"triggerKind": 2},
            },
        )
        task = asyncio.create_task(self._receive(response, started))
        self._pending = (self._connection.last_id, task)

    async def settle(self) -> None:
        """Wait for the response to the last keystroke."""
        if self._pending is not None:
            await asyncio.wait([self._pending[1]])

    async def _receive(self, response: asyncio.Future[Any], started: float) -> None:
        result = (await response).get("result")
        wait_ms = 1e3 * (time.perf_counter() - started)
        if result is None:
            return
        self.record.add(self._connection.last_result, wait_ms)
        if result["items"]:
            self.record.shown += 1
            self.suggestion = result["items"][0]["insertText"]

    def _position(self, offset: int) -> dict[str, int]:
        line = self.text.count("\n", 0, offset)
        return {"line": line, "character": offset - (self.text.rfind("\n", 0, offset) + 1)}


def hidden_part(path: str, text: str) -> tuple[int, int]:
    """Start and end of the part of a function body to type, longer than one session types."""
    scopes = find_scopes(parse(text, language_of(path)))
    functions = [scope for scope in scopes if scope.kind != "class"]
    long = [scope for scope in functions if scope.end - scope.body_start > KEYSTROKES]
    candidates = long or functions
    function = candidates[len(candidates) // 2]
    start = function.body_start
    end = text.find("\n", min(function.end, start + 3 * KEYSTROKES) - 1)
    return start, end if end >= 0 else len(text)


def keys(truth: str) -> Iterator[str]:
    """The keystrokes for a text; Enter also inserts the indentation of the next line."""
    at = 0
    while at < len(truth):
        end = at + 1
        if truth[at] == "\n":
            while end < len(truth) and truth[end] == " ":
                end += 1
        yield truth[at:end]
        at = end


async def session(editor: Editor, path: str, text: str) -> None:
    """Type one hidden part. The typing does not depend on what is accepted."""
    typing, accepting = random.Random(path), random.Random(f"{path} accepts")
    start, end = hidden_part(path, text)
    truth = text[start:end]
    editor.open((ROOT / path).as_uri(), text[:start] + text[end:], start)
    done, keystrokes_before = 0, editor.record.keystrokes
    while done < len(truth) and editor.record.keystrokes - keystrokes_before < KEYSTROKES:
        key = next(keys(truth[done:]))
        await _wait(typing, GAP_S)
        if key.isalpha() and typing.random() < SLIP_RATE:
            await _slip(editor, key, typing)
        editor.replace(editor.offset, editor.offset, key)
        done += len(key)
        if truth[done : done + 1] == "\n":
            await _wait(typing, PAUSE_S)
        done += await _accept(editor, truth[done:], accepting)
    await editor.settle()


async def _slip(editor: Editor, key: str, typing: random.Random) -> None:
    """Type a wrong letter and `key`, then delete both."""
    for letter in (typing.choice(string.ascii_lowercase), key):
        editor.replace(editor.offset, editor.offset, letter)
        await _wait(typing, GAP_S)
    for _ in range(2):
        editor.replace(editor.offset - 1, editor.offset, "")
        await _wait(typing, GAP_S)


async def _accept(editor: Editor, rest: str, accepting: random.Random) -> int:
    """Accept all of the visible suggestion, or its first word, if it agrees with `rest`.

    Returns the number of accepted characters.
    """
    await asyncio.sleep(NOTICE_S)
    suggestion = editor.suggestion
    agreeing = Prefix.similarity(suggestion, rest)
    if agreeing >= MIN_ACCEPTED:
        editor.record.predicted.update((editor.uri, len(rest) - n) for n in range(agreeing))
    indentation = suggestion[: len(suggestion) - len(suggestion.lstrip())]
    first_word = indentation + suggestion.lstrip().partition(" ")[0]
    for part in (suggestion, first_word):
        is_right = len(part) >= MIN_ACCEPTED and rest.startswith(part)
        if is_right and accepting.random() < ACCEPT_RATE:
            await _wait(accepting, READ_S)
            editor.replace(editor.offset, editor.offset, part)
            editor.record.accepted += 1
            editor.record.accepted_characters += len(part)
            return len(part)
    return 0


async def _wait(generator: random.Random, median_s: float) -> None:
    await asyncio.sleep(generator.lognormvariate(0, 0.45) * median_s)


async def replay(files: dict[str, str], open_model: OpenModel) -> dict[str, Any]:
    """All sessions, one after the other.

    Raises `RuntimeError` if the server has logged an error.
    """
    record, errors = Record(), ErrorCollector()
    logging.getLogger().addHandler(errors)
    connection = Connection(open_model, record)
    try:
        await connection.start(ROOT)
        editor = Editor(connection, record)
        started = time.process_time()
        with Progress(transient=True) as progress:
            task = progress.add_task("Typing", total=len(files))
            for path, text in files.items():
                await session(editor, path, text)
                progress.advance(task)
        record.processor_s = time.process_time() - started
    finally:
        connection.server.shutdown()
        logging.getLogger().removeHandler(errors)
    errors.raise_if_any()
    return record.summary()


def _quantiles(values: list[Any]) -> dict[str, float] | None:
    if not values:
        return None
    middle, high = np.quantile(values, (0.5, 0.9))
    return {"p50": round(float(middle), 2), "p90": round(float(high), 2)}


def main() -> None:
    """Replay, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--large", action="store_true", help="steps of a model of the 0.5B shape")
    parser.add_argument("--out", type=Path, help="default: results/typing.json, typing_large.json")
    options = parser.parse_args()
    name = "typing_large.json" if options.large else "typing.json"
    out = options.out or Path("benchmarks/results") / name
    files = dict(list(read_files().items())[: options.files])
    result = asyncio.run(replay(files, _open_large if options.large else open_default))
    print(json.dumps(result, indent=1))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def open_default(
    settings: Settings, roots: Sequence[Path], report: StatusListener
) -> CompletionModel:
    """The model of the server, loaded after `initialize`, because it imports torch."""
    from lsp_server.model import open_model

    return open_model(settings, roots, report)


def _open_large(
    settings: Settings, roots: Sequence[Path], report: StatusListener
) -> CompletionModel:
    from benchmarks.shape import slowed
    from code_model.decoder.model import DecoderModel
    from code_model.loading import load_model
    from completion.prompted_model import PromptedModel

    model = cast("DecoderModel", load_model())
    return PromptedModel(slowed(model), roots[0] if roots else None, report, named=settings.prompt)


if __name__ == "__main__":
    main()
