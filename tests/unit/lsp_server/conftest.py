"""A server with a fake engine, spoken to in JSON within the test's own event loop."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from completion.request import CompletionRequest, CompletionResult
from completion.status import Status
from lsp_server.server import create_server

READY = Status("Normal", False, "Ready.")
URI = "file:///work/space/package/module.py"


class FakeEngine:
    """Answers with `answer(request)` when `gate` is open; looks for cancellation once."""

    def __init__(self) -> None:
        self.answer: Callable[[CompletionRequest], str] = lambda request: "answer"
        self.alternatives: tuple[str, ...] = ()
        self.prompt: str | None = None
        self.opened_with = None
        self.requests: list[CompletionRequest] = []
        self.stopped: list[CompletionRequest] = []
        self.says = ""
        self.ends = False
        self.warmed: list[CompletionRequest] = []
        self.weighed: list[CompletionRequest] = []
        self.weighing_stopped: list[bool] = []
        self.scales = threading.Event()
        self.scales.set()
        self._weighing = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self._begun = threading.Semaphore(0)
        self._ended = threading.Semaphore(0)

    def open(self, settings, root, tell):
        self.opened_with = (settings, root)
        tell(READY)
        return self

    def version(self) -> int:
        return 0

    def warm(self, request, run) -> None:
        self.warmed.append(request)

    def weigh(self, request, run) -> None:
        self.weighed.append(request)
        self._weighing.release()
        assert self.scales.wait(60)
        self.weighing_stopped.append(run.cancelled())

    def complete(self, request, run) -> CompletionResult:
        self.requests.append(request)
        run.said(self.says)
        self._begun.release()
        assert self.gate.wait(60)
        try:
            if run.cancelled():
                self.stopped.append(request)
                return CompletionResult("", "cancelled")
            text = self.answer(request)
            reason = None if text else "nothing_to_add"
            return CompletionResult(
                text, reason, prompt=self.prompt, alternatives=self.alternatives, ends=self.ends
            )
        finally:
            self._ended.release()

    async def begun(self) -> None:
        """One more request has reached the engine."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=60)

    async def weighing(self) -> None:
        """One more document has begun to be weighed."""
        assert await asyncio.to_thread(self._weighing.acquire, timeout=60)

    async def ended(self) -> None:
        """One more request has left it."""
        assert await asyncio.to_thread(self._ended.acquire, timeout=60)


class Client:
    """The other side of the wire."""

    def __init__(self, server) -> None:
        self.server = server
        self.statuses: list[dict] = []
        self.silences: list[dict] = []
        self.worthless: list[str] = []
        self._arrived = asyncio.Event()
        self._answers: dict[int, asyncio.Future] = {}
        server.protocol.set_writer(self, include_headers=False)

    def write(self, data: bytes) -> None:
        message = json.loads(data)
        if "id" in message and "method" not in message:
            self._answers[message["id"]].set_result(message)
            return
        if message["method"] == "attune/didStaySilent":
            self.silences.append(message["params"])
            return
        if message["method"] == "attune/didFindPromptWorthless":
            self.worthless.append(message["params"]["prompt"])
            return
        assert message["method"] == "attune/didChangeStatus", message
        self.statuses.append(message["params"])
        self._arrived.set()

    def close(self) -> None:
        pass

    def notify(self, method: str, params: dict) -> None:
        self._send({"method": method, "params": params})

    def request(self, method: str, params: dict | None) -> asyncio.Future:
        """A future of the whole response; its id is its place among the requests, from 0."""
        number = len(self._answers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._send({"id": number, "method": method, "params": params})
        return self._answers[number]

    def _send(self, message: dict) -> None:
        text = json.dumps({"jsonrpc": "2.0"} | message)
        structure = self.server.protocol.structure_message
        self.server.protocol.handle_message(json.loads(text, object_hook=structure))

    async def settled(self) -> None:
        """A status that is not busy has come."""
        while not any(not status["busy"] for status in self.statuses):
            await self._arrived.wait()
            self._arrived.clear()

    async def start(self, options=None, **capabilities) -> dict:
        """Initialize; the result."""
        params = {
            "processId": None,
            "rootUri": "file:///work/space",
            "capabilities": capabilities,
            "initializationOptions": options,
        }
        response = await self.request("initialize", params)
        self.notify("initialized", {})
        await self.settled()
        return response["result"]

    def open(self, text: str, uri: str = URI) -> None:
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, version: int, *changes: dict) -> None:
        document = {"uri": URI, "version": version}
        changed = {"textDocument": document, "contentChanges": list(changes)}
        self.notify("textDocument/didChange", changed)

    async def delivered(self) -> None:
        """Every request sent so far has been taken up: this one stands behind them."""
        await self.complete(0, 0, uri="file:///not/open.py")

    def complete(
        self, line: int, character: int, *, invoked=False, uri=URI, **context
    ) -> asyncio.Future:
        params = {
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": character},
            "context": {"triggerKind": 1 if invoked else 2} | context,
        }
        return self.request("textDocument/inlineCompletion", params)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def fresh(engine: FakeEngine) -> AsyncIterator[Client]:
    """A client whose server waits for `initialize`."""
    server = create_server(engine.open)
    yield Client(server)
    engine.gate.set()
    server.shutdown()


@pytest.fixture
async def client(fresh: Client) -> Client:
    """A client whose server is ready."""
    await fresh.start()
    return fresh
