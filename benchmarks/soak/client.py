"""The soak's client: it follows its documents, and checks each answer when it arrives."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from lsp_server.protocol import DID_CHANGE_EMPTY_REASON, DID_CHANGE_STATUS, DID_FIND_NO_GAIN

SERVE = (sys.executable, "-I", "-m", "attune", "serve")
ANSWER_TIMEOUT_S = 60.0
"""An answer that takes longer is missing: a keystroke's takes a tenth of a second."""
LATEST_RESULT = "attune/latestResult"


@dataclass
class OpenDocument:
    """A document as the client has it. `state` counts its changes, also across closing.

    `texts` has the text of each state from `confirmed` on, None for a closed document.
    """

    uri: str
    lines: list[str]
    line: int = 0
    state: int = 0
    is_open: bool = False
    confirmed: int = 0
    """The last state that the server is known to have: it has answered a request sent after it."""
    texts: dict[int, str | None] = field(default_factory=dict)

    def changed(self) -> None:
        """Count a new state."""
        self.state += 1
        self.texts[self.state] = "\n".join(self.lines) if self.is_open else None

    def confirm(self, state: int) -> None:
        """The server has had this state; answers for an earlier text are stale from now on."""
        self.confirmed = max(self.confirmed, state)
        for earlier in [each for each in self.texts if each < self.confirmed]:
            del self.texts[earlier]


@dataclass
class Asked:
    """A completion request: its document, the state of it, and the cursor."""

    document: OpenDocument
    state: int
    text: str
    position: types.Position
    future: "Future[Any]"


@dataclass
class Findings:
    """What went wrong. A run is clean if every list is empty."""

    stale: list[str] = field(default_factory=list)
    wrong_ranges: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)


class SoakClient:
    """One session with a server process, whose log goes to the file `log`.

    All methods run on the event loop.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.counts: Counter[str] = Counter()
        self.findings = Findings()
        self.statuses: list[Any] = []
        self.pid = 0
        self.pending: set[Future[Any]] = set()
        self._client = LanguageClient("soak", "1")
        self._drain: asyncio.Task[None] | None = None
        self._client.feature(DID_CHANGE_STATUS)(lambda status: self.statuses.append(status))
        for notification in (DID_CHANGE_EMPTY_REASON, DID_FIND_NO_GAIN):
            self._client.feature(notification)(lambda params: None)

    async def start(self, folders: list[Path], environment: dict[str, str]) -> None:
        """Start a server for the folders, and wait for the first status that is not busy."""
        await self._client.start_io(*SERVE, cwd="/", env=environment)
        process = self._client._server
        if process is None or process.stderr is None:
            raise RuntimeError("The server has no process.")
        self.pid = process.pid
        self._drain = asyncio.create_task(self._keep_log(process.stderr))
        inline = types.InlineCompletionClientCapabilities()
        capabilities = types.ClientCapabilities(
            text_document=types.TextDocumentClientCapabilities(inline_completion=inline)
        )
        spaces = [types.WorkspaceFolder(folder.as_uri(), folder.name) for folder in folders]
        await self._client.initialize_async(
            types.InitializeParams(
                capabilities=capabilities,
                workspace_folders=spaces,
                # more suggestions, which can be stale
                initialization_options={"sureness": "eager"},
            )
        )
        self._client.initialized(types.InitializedParams())
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while not any(not status.busy for status in self.statuses):
                await asyncio.sleep(0.02)

    async def stop(self) -> int:
        """Shut down and exit; the exit code of the server."""
        await self._client.shutdown_async(None)
        self._client.exit(None)
        process = self._client._server
        code = await asyncio.wait_for(process.wait(), ANSWER_TIMEOUT_S) if process else 1
        if self._drain is not None:
            await self._drain
        await self._client.stop()
        return code

    async def _keep_log(self, stderr: asyncio.StreamReader) -> None:
        with self.log.open("wb") as kept:
            async for line in stderr:
                kept.write(line)
                kept.flush()

    # ── documents ──

    def open(self, document: OpenDocument, language: str = "python") -> None:
        """Open a document."""
        document.is_open = True
        document.changed()
        self.counts["opens"] += 1
        item = types.TextDocumentItem(document.uri, language, 1, "\n".join(document.lines))
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def close(self, document: OpenDocument) -> None:
        """Close a document. No answer for it may have a suggestion from now on."""
        document.is_open = False
        document.changed()
        self.counts["closes"] += 1
        identifier = types.TextDocumentIdentifier(document.uri)
        self._client.text_document_did_close(types.DidCloseTextDocumentParams(identifier))

    def replace_line(self, document: OpenDocument, line: int, start: int, text: str) -> None:
        """Replace the rest of a line from `start` by a text, which may have several lines."""
        end = types.Position(line, _units(document.lines[line]))
        range_ = types.Range(types.Position(line, _units(document.lines[line][:start])), end)
        document.lines[line : line + 1] = (document.lines[line][:start] + text).split("\n")
        self._change(document, types.TextDocumentContentChangePartial(range_, text))

    def replace_all(self, document: OpenDocument, lines: list[str]) -> None:
        """Send a whole new text."""
        document.lines = list(lines)
        document.line = min(document.line, len(lines) - 1)
        self._change(document, types.TextDocumentContentChangeWholeDocument("\n".join(lines)))

    def _change(self, document: OpenDocument, change: types.TextDocumentContentChangeEvent) -> None:
        document.changed()
        self.counts["edits"] += 1
        identifier = types.VersionedTextDocumentIdentifier(document.state, document.uri)
        self._client.text_document_did_change(
            types.DidChangeTextDocumentParams(identifier, [change])
        )

    # ── requests ──

    def complete(self, document: OpenDocument, *, explicit: bool = False) -> Asked:
        """Request a completion at the end of the document's current line."""
        kinds = types.InlineCompletionTriggerKind
        kind = kinds.Invoked if explicit else kinds.Automatic
        position = types.Position(document.line, _units(document.lines[document.line]))
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(kind),
            types.TextDocumentIdentifier(document.uri),
            position,
        )
        self.counts["completions"] += 1
        future = self._send(types.TEXT_DOCUMENT_INLINE_COMPLETION, params)
        asked = Asked(document, document.state, "\n".join(document.lines), position, future)
        future.add_done_callback(lambda _: self._check(asked))
        return asked

    def cancel(self, asked: Asked) -> None:
        """Cancel a request. It must be answered all the same."""
        self.counts["cancels"] += 1
        for id_, future in self._client.protocol._request_futures.items():
            if future is asked.future:
                self._client.cancel_request(types.CancelParams(id_))
                return

    def confirm(self, document: OpenDocument) -> None:
        """A request that the server answers in order: then it has the document's present state."""
        state = document.state
        params = {"textDocument": {"uri": document.uri}}
        self.counts["latest results"] += 1

        self._send(LATEST_RESULT, params).add_done_callback(lambda _: document.confirm(state))

    def request(self, kind: str, method: str, params: object) -> "Future[Any]":
        """Any other request, counted as `kind`."""
        self.counts[kind] += 1
        return self._send(method, params)

    def notify(self, kind: str, method: str, params: object) -> None:
        """Any other notification, counted as `kind`."""
        self.counts[kind] += 1
        self._client.protocol.notify(method, params)

    def _send(self, method: str, params: object) -> "Future[Any]":
        self.counts["requests"] += 1
        future: Future[Any] = self._client.protocol.send_request(method, params)
        self.pending.add(future)
        future.add_done_callback(self.pending.discard)
        return future

    def _check(self, asked: Asked) -> None:
        """Called when an answer arrives, in the order of arrival."""
        document = asked.document
        if asked.future.cancelled():
            self.counts["cancelled"] += 1
            return
        error = asked.future.exception()
        if error is not None:
            if "ancel" in type(error).__name__:
                self.counts["cancelled"] += 1
            else:
                self.findings.errors.append(type(error).__name__)
            return
        items = asked.future.result().items
        if not items:
            self.counts["empty"] += 1
            return
        self.counts["suggested"] += 1
        if asked.text not in document.texts.values():
            self.findings.stale.append(f"{document.uri}: state {asked.state}")
        for item in items:
            start, end = item.range.start, item.range.end
            if start != asked.position or end.line != start.line or end < start:
                self.findings.wrong_ranges.append(f"{document.uri}: {item.range}")

    async def settle(self) -> None:
        """Wait for every answer; one that does not come is a finding."""
        await self.wait_for(lambda: not self.pending, ANSWER_TIMEOUT_S)
        self.findings.unanswered.extend("a request" for _ in self.pending)
        self.pending.clear()

    async def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether the condition becomes true in time."""
        for _ in range(int(seconds / 0.1)):
            if condition():
                return True
            await asyncio.sleep(0.1)
        return condition()


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
