"""What the server's process costs: memory, threads, descriptors, and the time of an answer."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks.soak.client import OpenDocument, SoakClient

IDLE_CPU_S = 0.02
"""Processor seconds in one second below which the processes count as idle."""
IDLE_TIMEOUT_S = 180
PAUSE_S = 13
"""Idle seconds after which the server has returned what memory it can (`completion.prefetch`)."""
PROBE_LINE = "    return sorted("


@dataclass(frozen=True)
class Figures:
    """The server with its index processes, while idle. Times are medians over the probes.

    `memory_mb`: private memory, without files that are mapped. `first_ms` and `first_cpu_ms`: wall
    and processor time of the first answer in a document; `next_ms`, `next_cpu_ms`: of the answer
    after one more character.
    """

    memory_mb: float
    threads: int
    descriptors: int
    processes: int
    first_ms: float
    first_cpu_ms: float
    next_ms: float
    next_cpu_ms: float


async def measure(
    client: SoakClient, text: str, probes: int, serial: int, *, pause: bool
) -> Figures:
    """Probe the server, wait until it is idle, and read what it holds.

    `serial` numbers the probes' texts, so that none is answered from the cache. With `pause`, idle
    means long enough for the server to return what memory it can.
    """
    await settled(client)
    times = [await _probe(client, text, serial + number) for number in range(probes)]
    await settled(client, PAUSE_S if pause else 1)
    threads = of_each_process(client.pid, psutil.Process.num_threads)
    first, first_cpu, following, following_cpu = zip(*times, strict=True)
    return Figures(
        memory_mb=round(sum(memory_mb(client)), 1),
        threads=round(sum(threads)),
        descriptors=round(sum(of_each_process(client.pid, psutil.Process.num_fds))),
        processes=len(threads),
        first_ms=round(1000 * median(first), 1),
        first_cpu_ms=round(1000 * sum(first_cpu) / probes, 1),
        next_ms=round(1000 * median(following), 1),
        next_cpu_ms=round(1000 * sum(following_cpu) / probes, 1),
    )


def memory_mb(client: SoakClient) -> list[float]:
    """Private memory of the server and of each index process, in MiB."""
    return of_each_process(client.pid, lambda one: one.memory_full_info().uss / 2**20)


async def settled(client: SoakClient, seconds: int = 1) -> None:
    """Return when the server and its index processes have been idle for so many seconds."""
    idle = 0
    for _ in range(IDLE_TIMEOUT_S):
        before = _cpu_s(client.pid)
        await asyncio.sleep(1)
        idle = idle + 1 if _cpu_s(client.pid) - before < IDLE_CPU_S else 0
        if idle == seconds:
            return


async def _probe(client: SoakClient, text: str, serial: int) -> tuple[float, float, float, float]:
    """Wall and processor seconds of two explicit requests in a document of its own."""
    lines = [f"# probe {serial}", *text.split("\n"), PROBE_LINE]
    document = OpenDocument(Path(f"/probes/probe_{serial}.py").as_uri(), lines)
    document.line = len(lines) - 1
    client.open(document)
    first = await _timed(client, document)
    client.replace_line(document, document.line, len(PROBE_LINE), "x")
    following = await _timed(client, document)
    client.close(document)
    return *first, *following


async def _timed(client: SoakClient, document: OpenDocument) -> tuple[float, float]:
    server = psutil.Process(client.pid)
    cpu, started = _own_cpu_s(server), time.perf_counter()
    await asyncio.wrap_future(client.complete(document, explicit=True).future)
    return time.perf_counter() - started, _own_cpu_s(server) - cpu


def of_each_process(pid: int, read: Callable[[psutil.Process], float]) -> list[float]:
    """What `read` says of a process and those that it started, except one that has just ended.

    Raises `psutil.NoSuchProcess` if the first one is gone.
    """
    first, values = psutil.Process(pid), list[float]()
    for process in (first, *first.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            values.append(read(process))
    return values


def _cpu_s(pid: int) -> float:
    return sum(of_each_process(pid, _own_cpu_s))


def _own_cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
