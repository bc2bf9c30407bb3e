"""Worker threads that share the cores: each computes one part of a batch.

On small matrices, two of torch's own threads in one product gain a fifth; two worker threads with
a part of the batch each gain half as much again or more (docs/experiments.md).
"""

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
