"""Worker threads: some share the cores for the parts of a batch, one works in the background.

On small matrices, two of torch's own threads in one product gain a fifth; two worker threads with
a part of the batch each gain half as much again or more (docs/experiments.md).
"""

import atexit
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def partition(lengths: Sequence[int], workers: int) -> list[list[int]]:
    """Indices into `lengths` in at most `workers` parts of about equal total length.

    Greedy: the longest first, each to the part that is shortest so far.
    """
    parts = [list[int]() for _ in range(min(workers, len(lengths)))]
    totals = [0] * len(parts)
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        shortest = totals.index(min(totals))
        parts[shortest].append(index)
        totals[shortest] += lengths[index]
    return parts


def map_in_threads(
    work: Callable[[Part], Result], parts: Sequence[Part], workers: int
) -> Iterator[Result]:
    """The results of `work` in the order of `parts`; its exceptions are raised.

    torch's modes are per thread: `work` has to enter autocast or `no_grad` itself.
    """
    workers = min(workers, len(parts))
    if workers < 2:
        return map(work, parts)
    return _executor(workers, torch.get_num_threads() // workers).map(work, parts)


@cache
def _executor(workers: int, threads_of_each: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        workers, "worker", initializer=torch.set_num_threads, initargs=(max(1, threads_of_each),)
    )


def start_until_exit(work: Callable[[threading.Event], object], name: str) -> None:
    """Run `work` on a thread. An exit of the process sets the event and waits until it returns.

    Python would end a thread that is in torch or in compiled code by unwinding its stack, which C++
    takes for an error: the process would abort.
    """
    exiting = threading.Event()
    thread = threading.Thread(target=work, args=(exiting,), name=name, daemon=True)

    def end() -> None:
        exiting.set()
        thread.join()

    atexit.register(end)
    thread.start()
