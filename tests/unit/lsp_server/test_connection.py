"""TCP: who reaches the server, and who is served."""

import asyncio
import json
import logging
import re

import pytest

from lsp_server import connection
from lsp_server.connection import is_loopback, listen

TOKEN = "a" * 32


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("", False),
        ("localhost.example.org", False),
    ],
)
def test_addresses_of_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


async def test_an_address_that_others_reach_needs_a_token() -> None:
    with pytest.raises(ValueError, match="needs a token"):
        await listen("0.0.0.0", 0, lambda writer: None, lambda body: None)


def initialize(**options: object) -> dict[str, object]:
    return {"id": 0, "method": "initialize", "params": {"initializationOptions": options}}


def frame(message: object) -> bytes:
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.fixture
async def server(caplog: pytest.LogCaptureFixture):
    """The port of a server on all addresses, and the bodies that it has received."""
    received: list[object] = []
    connected: list[asyncio.StreamWriter] = []
    caplog.set_level(logging.INFO, "lsp_server")
    served = asyncio.create_task(listen("0.0.0.0", 0, connected.append, received.append, TOKEN))
    while not (match := re.search(r"Serving on \('0.0.0.0', (\d+)\)", caplog.text)):
        await asyncio.sleep(0)
    yield int(match[1]), received
    if connected:
        await served  # the client has left
        connected[0].close()
    served.cancel()


async def sent(port: int, data: bytes) -> bytes:
    """What the server answers until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        return await reader.read()
    except ConnectionResetError:  # it has not read all that was sent
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "message",
    [
        initialize(),
        initialize(token="b" * 32),
        initialize(token=TOKEN[:-1]),
        initialize(token=None),
        initialize(token=[TOKEN]),
        {"id": 0, "method": "initialize"},
        {"id": 0, "method": "initialize", "params": []},
        {"id": 0, "method": "initialize", "params": {"initializationOptions": TOKEN}},
        {**initialize(token=TOKEN), "method": "shutdown"},
        [],
        "x" * connection.MAX_FIRST_BYTES,
    ],
)
async def test_without_the_token_nothing_is_received(server, message: object) -> None:
    port, received = server
    assert await sent(port, frame(message) + frame({"method": "exit"})) == b""
    assert await sent(port, b"GET / HTTP/1.1\r\n\r\n") == b""
    assert received == []


async def test_a_silent_client_does_not_keep_others_out(
    server, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, received = server
    monkeypatch.setattr(connection, "TOKEN_TIMEOUT_S", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(frame(initialize(token=TOKEN, enable=False)) + frame({"method": "exit"}))
    await writer.drain()
    writer.close()
    while len(received) < 2:
        await asyncio.sleep(0)
    assert [json.loads(body) for body in received] == [
        initialize(enable=False),
        {"method": "exit"},
    ]
