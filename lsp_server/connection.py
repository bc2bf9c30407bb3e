"""Connections to a client: over stdio, or over TCP to one client."""

import asyncio
import hmac
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import BinaryIO

from lsprotocol.types import INITIALIZE

from lsp_server.framing import FramingError, Reader, read_bodies

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 1 << 16
"""Bytes of a line of a header; what is longer is read in pieces."""

MAX_FIRST_BYTES = 1 << 20
"""Bytes of a message that is read from a client without a token."""
TOKEN_TIMEOUT_S = 10.0
MEMBER = "token"
"""The member of `initializationOptions` that holds the token."""

Receive = Callable[[bytes | FramingError], None]


class StreamReader:
    """Reads a blocking stream, such as stdin, on the threads of an executor."""

    def __init__(self, stream: BinaryIO, executor: Executor) -> None:
        self._stream = stream
        self._executor = executor

    def readline(self) -> Awaitable[bytes]:
        """See `Reader`."""
        return self._run(self._stream.readline, MAX_LINE_BYTES)

    def readexactly(self, n: int, /) -> Awaitable[bytes]:
        """See `Reader`."""
        return self._run(self._stream.read, n)

    def _run(self, read: Callable[[int], bytes], size: int) -> Awaitable[bytes]:
        return asyncio.get_running_loop().run_in_executor(self._executor, read, size)


async def receive_all(reader: Reader, receive: Receive) -> None:
    """Call `receive` with every message until the stream ends; an error ends no connection."""
    async for body in read_bodies(reader):
        receive(body)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name, which may lead anywhere
        return False


async def listen(
    host: str,
    port: int,
    connected: Callable[[asyncio.StreamWriter], None],
    receive: Receive,
    token: str | None = None,
) -> None:
    """Serve the first client that connects, until it leaves; others are turned away.

    With a `token`, serve the first one that sends it in its `initialize` request. Raises `OSError`
    if the address cannot be listened to, `ValueError` if others reach it and there is no token.
    """
    if token is None and not is_loopback(host):
        raise ValueError("an address that other machines reach needs a token")
    left = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = None if token is None else await _first_message(reader, token)
        if writers or (token is not None and first is None):
            reason = "second client" if writers else "client without the right token"
            logger.warning("A %s was turned away.", reason)
            writer.close()
            return
        writers.append(writer)
        connected(writer)
        try:
            if first is not None:
                receive(first)
            await receive_all(reader, receive)
        except ConnectionError:
            logger.warning("The connection to the client is lost.")
        finally:
            left.set()

    server = await asyncio.start_server(serve, host, port)
    addresses = ", ".join(str(socket.getsockname()) for socket in server.sockets)
    logger.info("Serving on %s", addresses)
    try:
        await left.wait()
    finally:
        server.close()


async def _first_message(reader: asyncio.StreamReader, token: str) -> bytes | None:
    """The `initialize` request of a client that sends the token, without it; None for another."""
    bodies = read_bodies(reader, MAX_FIRST_BYTES)
    try:
        async with asyncio.timeout(TOKEN_TIMEOUT_S):
            body = await anext(bodies, None)
        if not isinstance(body, bytes):
            return None
        message = json.loads(body)
        given = message["params"]["initializationOptions"].pop(MEMBER)
        is_right = hmac.compare_digest(given.encode(), token.encode())
    except (ConnectionError, TimeoutError, ValueError, RecursionError, LookupError):
        return None
    except (AttributeError, TypeError):  # something else than an object or a string
        return None
    is_first = message.get("method") == INITIALIZE
    return json.dumps(message).encode() if is_right and is_first else None
