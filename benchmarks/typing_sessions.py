"""Typing sessions replayed in real time against the server: how many requests need the model, and
how long a person waits.

Run `python -m benchmarks.typing_sessions` (see README.md). From each of ten real files the body of
a function is taken out of the middle and typed back: at a person's pace, with pauses at line ends,
slips that are deleted again, and suggestions accepted where they say what the file says. Every
keystroke is a change, a cancel of the request before it and a new request, as an editor sends them.
Client and server share one process and speak JSON; the engine has its thread, as always.

With `--large` every step is computed by a model of the 0.5B shape with random weights, and what it
says is what the default model says there: as many tokens, stops, silences and hits of the caches
(`benchmarks.shape.SpokenFor`).
"""

import argparse
import asyncio
import json
import random
import string
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from lsp_server.server import OpenModel, create_server
from lsp_server.settings import Settings

ROOT = Path("/project")
KEYSTROKES = 110  # typed in each file, at least
GAP_S = 0.13  # median between keystrokes; log-normal, as measured typing is
PAUSE_S = 0.7  # median at the end of a line
READ_S = 0.45  # before a suggestion is accepted
SLIPS = 0.04  # keystrokes that are another letter, seen one keystroke later
TAKES = 0.8  # suggestions that say what the file says and are accepted
WORTH = 4  # characters; nobody reaches for Tab for fewer


@dataclass
class Record:
    """What became of requests. Milliseconds are from keystroke to answer, at the client.

    `calls` were begun for a request, whatever became of them, `calls_ahead` while nobody waited.
    """

    keystrokes: int = 0
    calls: int = 0
    calls_ahead: int = 0
    foretold: set[tuple[str, int]] = field(default_factory=set)
    """Characters, by their distance from the end, that a suggestion on the screen had right."""
    processor_s: float = 0.0
    accepted: int = 0
    accepted_characters: int = 0
    overtaken: int = 0
    waits_ms: list[float] = field(default_factory=list)
    known_ms: list[float] = field(default_factory=list)
    model_ms: list[float] = field(default_factory=list)
    prefilled: list[int] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    shown: int = 0

    def summary(self) -> dict[str, Any]:
        """Figures over all requests, one for each keystroke; overtaken ones were answered with
        nothing, because the next key came first."""
        answered = len(self.waits_ms)
        return {
            "keystrokes": self.keystrokes,
            "answered": answered,
            "overtaken": self.overtaken,
            "model_calls": self.calls,
            "model_calls_ahead": self.calls_ahead,
            "without_model_call": 1 - self.calls / self.keystrokes,
            "answered_without_model_call": 1 - len(self.model_ms) / answered,
            "processor_ms_per_keystroke": 1e3 * self.processor_s / self.keystrokes,
            "shown": self.shown,
            "accepted": self.accepted,
            "accepted_characters": self.accepted_characters,
            "foretold_characters": len(self.foretold),
            "without_model_ms": _spread(self.known_ms),
            "with_model_ms": _spread(self.model_ms),
            "keystroke_to_answer_ms": _spread(self.waits_ms),
            "prefilled_tokens": _spread(self.prefilled),
            "sources": dict(self.sources),
            "reasons": dict(self.reasons.most_common()),
        }


class Counted(CompletionModel):
    """The model, with every call of it counted."""

    def __init__(self, model: CompletionModel, record: Record) -> None:
        self._model = model
        self._record = record
        self.asked: deque[CompletionRequest] = deque(maxlen=16)
        """The latest requests of the editor; all others are made ahead."""

    def version(self) -> Hashable:
        """The model's."""
        return self._model.version()

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """Not counted."""
        self._model.warm(request, computation)

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """Not counted."""
        self._model.check_fit(request, computation)

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """Answer one request."""
        answer = self._model.complete(request, computation)
        if answer.prefilled is not None:
            if any(one is request for one in self.asked):
                self._record.calls += 1
            else:
                self._record.calls_ahead += 1
        return answer


class Editor:
    """One document and its requests, over the server's own protocol objects."""

    def __init__(self, open_model: OpenModel) -> None:
        self.record = Record()

        def open_counted(settings: Settings, root: Path | None, report: StatusListener) -> Counted:
            self._model = Counted(open_model(settings, root, report), self.record)
            return self._model

        self.server = server = create_server(open_counted)
        self.ready = asyncio.Event()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._sent = 0
        self._version = 0
        self._pending: tuple[int, asyncio.Task[None]] | None = None
        self.text, self.offset, self.uri = "", 0, ""
        self.suggestion = ""
        server.protocol.set_writer(self, include_headers=False)
        self._answered_by: dict[int, CompletionResult] = {}
        complete = server.scheduler.complete

        async def recorded(request: CompletionRequest, *rest: Any) -> CompletionResult:
            self._model.asked.append(request)
            self._last_answer = answer = await complete(request, *rest)
            return answer

        self._last_answer = CompletionResult("")
        server.scheduler.complete = recorded  # type: ignore[method-assign]

    def write(self, data: bytes) -> None:
        """A message from the server."""
        message = json.loads(data)
        if "id" in message and "method" not in message:
            waiting = self._answers.pop(message["id"])
            if not waiting.done():
                waiting.set_result(message)
        elif message["method"].endswith("didChangeStatus") and not message["params"]["busy"]:
            self.ready.set()

    def close(self) -> None:
        """Nothing to close."""

    def send(self, method: str, params: Any, *, request: bool = False) -> asyncio.Future[Any]:
        """A notification or, with an answer to wait for, a request."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if request:
            self._sent += 1
            message["id"] = self._sent
            self._answers[self._sent] = waiting
        text = json.dumps(message)
        hook = self.server.protocol.structure_message
        self.server.protocol.handle_message(json.loads(text, object_hook=hook))
        return waiting

    async def start(self, root: Path) -> None:
        """Initialise and wait for the model."""
        params = {"processId": None, "rootUri": root.as_uri(), "capabilities": {}}
        await self.send("initialize", params, request=True)
        self.send("initialized", {})
        await self.ready.wait()

    def open(self, uri: str, text: str, offset: int) -> None:
        """Another document."""
        self.uri, self.text, self.offset, self._version = uri, text, offset, 1
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.send("textDocument/didOpen", {"textDocument": item})

    def replace(self, start: int, end: int, inserted: str) -> None:
        """An edit that leaves the cursor behind it; asks for a completion as editors do."""
        began = time.perf_counter()
        where = {"start": self._position(start), "end": self._position(end)}
        self.text = self.text[:start] + inserted + self.text[end:]
        self.offset = start + len(inserted)
        self._version += 1
        self.record.keystrokes += 1
        self.suggestion = ""
        change = {"range": where, "text": inserted}
        document = {"uri": self.uri, "version": self._version}
        self.send("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})
        if self._pending is not None and not self._pending[1].done():
            self.record.overtaken += 1
            self.send("$/cancelRequest", {"id": self._pending[0]})
            self._pending[1].cancel()
        params = {
            "textDocument": {"uri": self.uri},
            "position": self._position(self.offset),
            "context": {"triggerKind": 2},
        }
        answer = self.send("textDocument/inlineCompletion", params, request=True)
        self._pending = (self._sent, asyncio.create_task(self._note(answer, began)))

    async def settle(self) -> None:
        """Wait for the answer to the last keystroke."""
        if self._pending is not None:
            await asyncio.wait([self._pending[1]])

    async def _note(self, answer: asyncio.Future[Any], began: float) -> None:
        result = (await answer).get("result")
        wait_ms = 1e3 * (time.perf_counter() - began)
        if result is None:
            return
        answered, record = self._last_answer, self.record
        record.waits_ms.append(wait_ms)
        called = answered.source == "model" and answered.prefilled is not None
        if called:
            record.model_ms.append(wait_ms)
            record.prefilled.append(answered.prefilled or 0)
        else:
            record.known_ms.append(wait_ms)
        silent = "syntax" if answered.source == "model" else answered.source
        record.sources["model call" if called else silent] += 1
        if answered.reason:
            record.reasons[answered.reason] += 1
        if result["items"]:
            record.shown += 1
            self.suggestion = result["items"][0]["insertText"]

    def _position(self, offset: int) -> dict[str, int]:
        line = self.text.count("\n", 0, offset)
        return {"line": line, "character": offset - (self.text.rfind("\n", 0, offset) + 1)}


def hidden_part(path: str, text: str) -> tuple[int, int]:
    """Whole lines of a function body in the middle of the file, more than one session types."""
    scopes = [one for one in find_scopes(parse(text, language_of(path))) if one.kind != "class"]
    long = [one for one in scopes if one.end - one.body_start > KEYSTROKES] or scopes
    chosen = long[len(long) // 2]
    start = chosen.body_start
    end = text.find("\n", min(chosen.end, start + 3 * KEYSTROKES) - 1)
    return start, end if end >= 0 else len(text)


def keys(truth: str) -> Iterator[str]:
    """What is typed: Enter brings the indentation of the next line along."""
    at = 0
    while at < len(truth):
        end = at + 1
        if truth[at] == "\n":
            while end < len(truth) and truth[end] == " ":
                end += 1
        yield truth[at:end]
        at = end


async def session(editor: Editor, path: str, text: str) -> None:
    """Type one hidden part back; how it is typed does not depend on what is accepted."""
    person, taker = random.Random(path), random.Random(f"{path} accepts")
    start, end = hidden_part(path, text)
    truth = text[start:end]
    editor.open((ROOT / path).as_uri(), text[:start] + text[end:], start)
    done, begun = 0, editor.record.keystrokes
    while done < len(truth) and editor.record.keystrokes - begun < KEYSTROKES:
        key = next(keys(truth[done:]))
        await _gap(person, GAP_S)
        if key.isalpha() and person.random() < SLIPS:
            for slip in (person.choice(string.ascii_lowercase), key):
                editor.replace(editor.offset, editor.offset, slip)
                await _gap(person, GAP_S)
            for _ in range(2):
                editor.replace(editor.offset - 1, editor.offset, "")
                await _gap(person, GAP_S)
        editor.replace(editor.offset, editor.offset, key)
        done += len(key)
        pause = truth[done : done + 1] == "\n"
        if pause:
            await _gap(person, PAUSE_S)
        done += await _accepted(editor, truth[done:], taker)
    await editor.settle()


async def _accepted(editor: Editor, rest: str, person: random.Random) -> int:
    """Read what is shown by now; accept all of it, or its first word, if it is what was meant."""
    await asyncio.sleep(0.05)
    shown = editor.suggestion
    right = Prefix.similarity(shown, rest)
    if right >= WORTH:
        editor.record.foretold.update((editor.uri, len(rest) - n) for n in range(right))
    word = shown[: len(shown) - len(shown.lstrip())] + shown.lstrip().partition(" ")[0]
    for part in (shown, word):
        if len(part) >= WORTH and rest.startswith(part) and person.random() < TAKES:
            await _gap(person, READ_S)
            editor.replace(editor.offset, editor.offset, part)
            editor.record.accepted += 1
            editor.record.accepted_characters += len(part)
            return len(part)
    return 0


async def _gap(person: random.Random, median_s: float) -> None:
    await asyncio.sleep(person.lognormvariate(0, 0.45) * median_s)


async def replay(files: dict[str, str], open_model: OpenModel) -> dict[str, Any]:
    """All sessions, one after the other."""
    editor = Editor(open_model)
    await editor.start(ROOT)
    began = time.process_time()
    with Progress(transient=True) as progress:
        task = progress.add_task("Typing", total=len(files))
        for path, text in files.items():
            await session(editor, path, text)
            progress.advance(task)
    editor.record.processor_s = time.process_time() - began
    editor.server.shutdown()
    return editor.record.summary()


def _spread(values: list[Any]) -> dict[str, float] | None:
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
    result = asyncio.run(replay(files, _open_large if options.large else _open))
    print(json.dumps(result, indent=1))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _open(settings: Settings, root: Path | None, report: StatusListener) -> CompletionModel:
    from lsp_server.model import open_model

    return open_model(settings, root, report)


def _open_large(settings: Settings, root: Path | None, report: StatusListener) -> CompletionModel:
    from benchmarks.shape import spoken_for
    from code_model.loading import load_model
    from lsp_server.model import AttunedModel

    return AttunedModel(spoken_for(load_model()), settings.prompt, root, report)


if __name__ == "__main__":
    main()
