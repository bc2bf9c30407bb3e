"""How long an editor waits where a team server fails: at most its time-out, and a step more.

Run `python -m benchmarks.team_wait`. Servers that fail in several ways run in this process; each
request goes to one of them first, and the default model stands behind it. Times are of the
scheduler's answer on the event loop, in milliseconds: all that an editor waits for behind its
debounce. "nothing" is how late a timer of as many seconds wakes an event loop that has nothing
else to do, which is the machine's share.
"""

import argparse
import asyncio
import itertools
import json
import socket
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from code_model.language_model import LanguageModel
from code_model.loading import load_model
from code_model.model_choice import ModelChoice
from code_model.team_server import TeamServer
from completion.prompted_model import PromptedModel
from completion.request import CompletionRequest
from completion.scheduler import CompletionScheduler
from completion.status import StatusListener
from completion.team_model import Pauses, TeamModel, TeamServerName

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
TOKEN = b'data: {"choices": [{"token_ids": [300], "logprobs": {"token_logprobs": [-0.01]}}]}\n\n'
ROUNDS = 20

Behave = Callable[[socket.socket, threading.Event], None]


def hang(client: socket.socket, over: threading.Event) -> None:
    """Accept and say nothing."""
    over.wait()


def stall(client: socket.socket, over: threading.Event) -> None:
    """One token, then nothing."""
    client.sendall(HEAD + TOKEN)
    over.wait()


def drip(client: socket.socket, over: threading.Event) -> None:
    """A token now and then, just within the limit of one."""
    client.sendall(HEAD)
    while not over.wait(0.2):
        client.sendall(TOKEN)


def rubbish(client: socket.socket, over: threading.Event) -> None:
    """A page of HTML."""
    client.sendall(HEAD + b"<html>" + b"x" * 100_000)


def die(client: socket.socket, over: threading.Event) -> None:
    """Break off in the middle of a line."""
    client.sendall(HEAD + TOKEN[:20])


def refuse(client: socket.socket, over: threading.Event) -> None:
    """Overloaded."""
    client.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@contextmanager
def serving(behave: Behave) -> Iterator[int]:
    """A server that reads a request and then does what `behave` does; its port."""
    over = threading.Event()

    def answer(client: socket.socket) -> None:
        with client:
            try:
                client.recv(1 << 16)
                behave(client, over)
            except OSError:
                pass  # the editor has gone

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=[client], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=[listener], daemon=True).start()
        yield listener.getsockname()[1]
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


async def waits(port: int, timeout_s: float, local: LanguageModel, text: str) -> list[float]:
    """Milliseconds of each request. The server is asked at every one."""
    choice = ModelChoice(server=TeamServer(f"http://127.0.0.1:{port}", timeout_s=timeout_s))

    def opened(model: LanguageModel, report: StatusListener) -> PromptedModel:
        return PromptedModel(model, None, report)

    later = itertools.count(0, 10**6)
    model = TeamModel(
        partial(opened, load_model(choice)),
        partial(opened, local),
        TeamServerName("server", local.name, timeout_s),
        lambda status: None,
        Pauses(lambda: float(next(later))),
    )
    scheduler = CompletionScheduler()
    scheduler.open(lambda: model, lambda status: None)
    await scheduler.complete(CompletionRequest("# ", "a.py", 2))  # once it is loaded
    times = []
    for offset in places(text):
        request = CompletionRequest(text, "a.py", offset, explicit=True)
        times.append(await _milliseconds(scheduler.complete(request)))
    scheduler.close()
    return times


async def timer(timeout_s: float) -> list[float]:
    """Milliseconds of as many requests to nobody."""
    return [await _milliseconds(asyncio.sleep(timeout_s)) for _ in range(ROUNDS)]


async def _milliseconds(answer: Awaitable[object]) -> float:
    started = time.perf_counter()
    await answer
    return 1000 * (time.perf_counter() - started)


def places(text: str) -> list[int]:
    """Offsets in the middle of long lines, behind a space."""
    lines = list(itertools.accumulate(len(line) for line in text.splitlines(keepends=True)))
    behind = [text.rfind(" ", start, start + 30) + 1 for start in lines[20:-1]]
    found = [at for at in behind if at and text[at - 2 : at].strip()]
    return found[:: max(1, len(found) // ROUNDS)][:ROUNDS]


def summary(times: list[float]) -> dict[str, float]:
    """What the table shows."""
    return {"median": statistics.median(times), "max": max(times)}


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeout-ms", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    timeout_s = arguments.timeout_ms / 1000
    text = Path(__file__).read_text(encoding="utf-8")
    local = load_model(ModelChoice())
    local.prepare()
    with serving(refuse) as port:
        asyncio.run(waits(port, timeout_s, local, text))  # what is compiled at first use
    results = {"nothing": summary(asyncio.run(timer(timeout_s)))}
    for behave in (hang, stall, drip, rubbish, die, refuse):
        with serving(behave) as port:
            times = asyncio.run(waits(port, timeout_s, local, text))
        results[behave.__name__] = summary(times)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    results["gone"] = summary(asyncio.run(waits(port, timeout_s, local, text)))
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    print(f"time-out {arguments.timeout_ms} ms, {ROUNDS} requests each")
    print("| the server … | median ms | longest ms |\n| --- | --- | --- |")
    for name, each in results.items():
        print(f"| {name} | {each['median']:.0f} | {each['max']:.0f} |")


if __name__ == "__main__":
    main()
