"""A server with a fake model; the client exchanges JSON with it in the test's event loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from completion.status import Status
from lsp_server.server import create_server
from lsp_server.settings import Settings
from tests.unit.completion.fake_model import FakeModel

READY = Status("Normal", False, "Ready.")
URI = "file:///work/space/package/module.py"


class Client:
    """An editor that records what the server sends."""

    def __init__(self, server) -> None:
        self.server = server
        self.statuses: list[dict] = []
        self.empty_reasons: list[dict] = []
        self.without_gain: list[str] = []
        self.errors: list[dict] = []
        """Errors in answers whose id is null."""
        self._arrived = asyncio.Event()
        self._answers: dict[int, asyncio.Future] = {}
        server.protocol.set_writer(self, include_headers=False)

    def write(self, data: bytes) -> None:
        message = json.loads(data)
        if message.get("id", 0) is None:
            self.errors.append(message["error"])
            return
        if "id" in message and "method" not in message:
            self._answers[message["id"]].set_result(message)
            return
        match message["method"]:
            case "attune/didChangeEmptyReason":
                self.empty_reasons.append(message["params"])
            case "attune/didFindNoGain":
                self.without_gain.append(message["params"]["prompt"])
            case "attune/didChangeStatus":
                self.statuses.append(message["params"])
            case _:
                raise AssertionError(message)
        self._arrived.set()

    def close(self) -> None:
        pass

    def notify(self, method: str, params: dict) -> None:
        self._send({"method": method, "params": params})

    def request(self, method: str, params: dict | None = None, **more) -> asyncio.Future:
        """A future of the whole response. Requests are numbered from 0."""
        number = len(self._answers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method} | more
        self._send(message if params is None else message | {"params": params})
        return self._answers[number]

    @property
    def unanswered(self) -> int:
        """The number of requests without a response."""
        return sum(not answer.done() for answer in self._answers.values())

    def send(self, body: bytes) -> None:
        """Send the bytes of a message as they are."""
        self.server.protocol.receive(body)

    def _send(self, message: dict) -> None:
        self.send(json.dumps({"jsonrpc": "2.0"} | message).encode())

    async def settled(self) -> None:
        """Wait for a status that is not busy."""
        await self.until(lambda: any(not status["busy"] for status in self.statuses))

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait for notifications until the condition holds."""
        while not is_true():
            await self._arrived.wait()
            self._arrived.clear()

    async def start(self, options=None, **capabilities) -> dict:
        """Initialize; return the result."""
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

    def open(self, text: str, uri: str = URI, language: str = "python") -> None:
        item = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, version: int, *changes: dict) -> None:
        document = {"uri": URI, "version": version}
        changed = {"textDocument": document, "contentChanges": list(changes)}
        self.notify("textDocument/didChange", changed)

    async def delivered(self) -> None:
        """Wait until every request sent so far has been received: this one comes after them."""
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
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def opened_with() -> list[tuple[Settings, list[Path]]]:
    """The settings and the roots that the model was opened with."""
    return []


@pytest.fixture
async def fresh(model: FakeModel, opened_with) -> AsyncIterator[Client]:
    """A client whose server waits for `initialize`."""

    def open_model(settings, roots, report):
        opened_with.append((settings, roots))
        report(READY)
        return model

    server = create_server(open_model)
    yield Client(server)
    model.gate.set()
    server.shutdown()


@pytest.fixture
async def client(fresh: Client) -> Client:
    """A client whose server is ready."""
    await fresh.start()
    return fresh
