"""HTTP to a server: an event loop in a thread of its own, so that the engine's thread can give up.

A thread that reads from a socket cannot be woken; one that waits for a queue tests its cancel flag
and its limit all the time. Closing a stream closes the connection, by which vLLM ends the request.
"""

import asyncio
import json
import queue
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, Final

import httpx2

from code_model.cancel import StepCancelledError
from code_model.language_model import ModelUnreachableError
from code_model.team_server import MissingKeyError, TeamServer, is_this_machine, read_key
from code_model.vllm.answers import ANSWER, RubbishError, parse, tokens_of

POLL_S = 0.005  # between two tests of the cancel flag
LINGER_S = 1.0  # for the end of an answer, behind its last token
MAX_LINE = 1 << 20  # bytes of one event
MAX_ANSWER = 64 << 20  # bytes of a whole answer; the nats of an input are the longest
KEPT_CONNECTIONS = httpx2.Limits(max_connections=8, max_keepalive_connections=4)

PROBLEMS: Final[Mapping[int, str]] = {
    400: "it refuses the request; compare it with `attune team check`",
    401: "it refuses the key",
    403: "it refuses the key",
    404: "it serves another model",
    413: "it refuses requests of this length",
    429: "it has too many requests",
    500: "it reports an error",
    503: "it is overloaded or starting",
}
"""What a status of HTTP means here, as the rest of a sentence."""


class ServerRefusalError(ModelUnreachableError):
    """The server answers with a status that is no success."""

    def __init__(self, status: int) -> None:
        super().__init__(PROBLEMS.get(status, f"it answers with the HTTP status {status}"))
        self.status = status


class VllmClient:
    """Requests to one server. Its methods may be called from any thread.

    Every wait ends soon after its limit, or after `cancelled` returns true.
    """

    def __init__(self, server: TeamServer) -> None:
        self.server = server
        self._key: str | None = None
        self._loop = asyncio.new_event_loop()
        run = threading.Thread(target=_run, args=[self._loop], name="attune-team", daemon=True)
        run.start()
        host = httpx2.URL(server.url).host
        self._http = httpx2.AsyncClient(
            base_url=server.url,
            timeout=None,  # the limits are those of who waits
            limits=KEPT_CONNECTIONS,
            trust_env=not is_this_machine(host),
            headers={"Accept-Encoding": "identity"},
        )
        weakref.finalize(self, _stop, self._loop, self._http)

    def stream(self, body: Mapping[str, Any], vocabulary_size: int) -> "TokenStream":
        """Start a request whose tokens are read one by one."""
        stream = TokenStream(self._loop, self._connect_again)
        content = json.dumps({**body, "stream": True}).encode()
        stream.start(self._tokens(content, vocabulary_size))
        return stream

    def post(
        self, path: str, body: Mapping[str, Any], limit_s: float, cancelled: Callable[[], bool]
    ) -> bytes:
        """The whole answer to a request. Raises `ModelUnreachableError`, `StepCancelledError`.

        What is cancelled already is not sent.
        """
        if cancelled():
            raise StepCancelledError
        content = json.dumps(body).encode()
        return self._wait(self._answer("POST", path, content), limit_s, cancelled)

    def get(self, path: str, limit_s: float) -> bytes:
        """The whole answer. Raises `ModelUnreachableError`."""
        return self._wait(self._answer("GET", path, None), limit_s, lambda: False)

    def _wait(
        self, answer: Coroutine[Any, Any, bytes], limit_s: float, cancelled: Callable[[], bool]
    ) -> bytes:
        future = asyncio.run_coroutine_threadsafe(answer, self._loop)
        ends = time.monotonic() + limit_s
        while True:
            try:
                return future.result(POLL_S)
            except TimeoutError:
                if cancelled():
                    future.cancel()
                    raise StepCancelledError from None
                if time.monotonic() > ends:
                    future.cancel()
                    raise _silence(limit_s) from None

    async def _answer(self, method: str, path: str, content: bytes | None) -> bytes:
        data = bytearray()
        async for chunk in self._chunks(method, path, content):
            data += chunk
            if len(data) > MAX_ANSWER:
                raise RubbishError
        return bytes(data)

    async def _chunks(self, method: str, path: str, content: bytes | None) -> AsyncIterator[bytes]:
        """The body of an answer. Raises `ModelUnreachableError`."""
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            if (key := await self._read_key()) is not None:
                headers["Authorization"] = f"Bearer {key}"
            request = self._http.stream(method, path, content=content, headers=headers)
            async with request as response:
                if response.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
                    self._key = None  # the user may have stored another one
                if response.status_code != httpx2.codes.OK:
                    raise ServerRefusalError(response.status_code)
                async for chunk in response.aiter_raw():
                    yield chunk
        except MissingKeyError as error:
            raise ModelUnreachableError(str(error)) from None
        except httpx2.ConnectError:
            raise ModelUnreachableError("it cannot be reached") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ModelUnreachableError(f"the connection failed ({type(error).__name__})") from None

    async def _read_key(self) -> str | None:
        """The key, looked up once: a keyring may ask the user first. Raises `MissingKeyError`."""
        if self._key is None:
            self._key = await asyncio.to_thread(read_key, self.server.key)
        return self._key

    async def _tokens(
        self, content: bytes, vocabulary_size: int
    ) -> AsyncIterator[tuple[int, float]]:
        """The tokens of a stream of events. Raises `ModelUnreachableError`."""
        async for line in _lines(self._chunks("POST", "/v1/completions", content)):
            if not line.startswith(b"data:"):
                continue
            event = line.removeprefix(b"data:").strip()
            if event == b"[DONE]":
                return
            if event.startswith(b'{"error"'):
                raise ServerRefusalError(httpx2.codes.INTERNAL_SERVER_ERROR)
            for choice in parse(ANSWER, event).choices:
                for token in tokens_of(choice, vocabulary_size):
                    yield token

    async def _connect_again(self) -> None:
        """Open the connection that the next request uses, after one was closed to end a request."""
        try:
            async for _ in self._chunks("GET", "/v1/models", None):
                pass
        except ModelUnreachableError:
            pass  # the next request finds out


class TokenStream:
    """Generated tokens as they arrive. Read by one thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        when_closed: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._loop = loop
        self._when_closed = when_closed
        self._items = queue.SimpleQueue[tuple[int, float] | ModelUnreachableError]()
        self._reading: Future[None] | None = None

    def start(self, tokens: AsyncIterator[tuple[int, float]]) -> None:
        """Read `tokens` on the event loop."""
        self._reading = asyncio.run_coroutine_threadsafe(self._read(tokens), self._loop)

    def next(self, limit_s: float, cancelled: Callable[[], bool]) -> tuple[int, float]:
        """The next id and its log-probability (nats).

        Raises `ModelUnreachableError` if there is none within `limit_s`, `StepCancelledError`.
        """
        ends = time.monotonic() + limit_s
        while True:
            try:
                item = self._items.get(timeout=POLL_S)
            except queue.Empty:
                if cancelled():
                    raise StepCancelledError from None
                if time.monotonic() > ends:
                    raise _silence(limit_s) from None
                continue
            if isinstance(item, ModelUnreachableError):
                raise item
            return item

    def close(self, *, has_all: bool = False) -> None:
        """End the request, unless it has ended.

        With all its tokens read (`has_all`) it ends by itself, and keeps its connection.
        """
        if self._reading is None or self._reading.done():
            return
        if has_all:
            self._loop.call_soon_threadsafe(self._loop.call_later, LINGER_S, self._reading.cancel)
        else:
            self._reading.cancel()
            asyncio.run_coroutine_threadsafe(self._when_closed(), self._loop)

    async def _read(self, tokens: AsyncIterator[tuple[int, float]]) -> None:
        try:
            async for token in tokens:
                self._items.put(token)
            self._items.put(ModelUnreachableError("its answer ends too early"))
        except ModelUnreachableError as error:
            self._items.put(error)
        except Exception as error:  # or the reader would wait for nothing
            self._items.put(ModelUnreachableError(f"no answer ({type(error).__name__})"))


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a body. Raises `RubbishError` for one that is too long."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE:
            raise RubbishError
        for line in lines:
            yield line
    yield rest


def _silence(limit_s: float) -> ModelUnreachableError:
    return ModelUnreachableError(f"it gave no answer within {1000 * limit_s:.0f} ms")


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until `_stop` is called."""
    loop.run_forever()
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop, http: httpx2.AsyncClient) -> None:
    """End all requests, close the connections and let the thread end; any thread may call this."""

    async def close() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await loop.shutdown_asyncgens()
        await http.aclose()
        loop.stop()

    asyncio.run_coroutine_threadsafe(close(), loop)
