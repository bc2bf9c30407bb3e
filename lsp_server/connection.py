"""Connections to a client: over stdio, or over TCP to one client."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import BinaryIO

from lsp_server.framing import FramingError, Reader, read_bodies

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 1 << 16
"""Bytes of a line of a header; what is longer is read in pieces."""

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


async def listen(
    host: str, port: int, connected: Callable[[asyncio.StreamWriter], None], receive: Receive
) -> None:
    """Serve the first client that connects, until it leaves; others are turned away.

    Raises `OSError` if the address cannot be listened to.
    """
    left = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writers:
            logger.warning("A second client was turned away.")
            writer.close()
            return
        writers.append(writer)
        connected(writer)
        try:
            await receive_all(reader, receive)
        except ConnectionError:
            logger.warning("The connection to the client is lost.")
        finally:
            left.set()

    server = await asyncio.start_server(serve, host, port)
    addresses = ", ".join(str(socket.getsockname()) for socket in server.sockets)
    logger.info("Serving on %s", addresses)
    await left.wait()
    server.close()
