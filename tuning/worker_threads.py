"""Worker threads that compute parts of a batch at the same time, each with its share of the cores.

Two intra-op threads make one small matrix product a fifth faster; two worker threads with a batch
of documents each gain half as much again or more (docs/experiments.md).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

from tuning.examples import Example

Part = TypeVar("Part")
Result = TypeVar("Result")


def partition(examples: Sequence[Example], n_parts: int) -> list[list[Example]]:
    """At most `n_parts` non-empty parts of the examples, of about as many tokens each.

    Greedy: the longest example first, each to the part that has the fewest tokens so far.
    """
    parts = [list[Example]() for _ in range(min(n_parts, len(examples)))]
    tokens = [0] * len(parts)
    for example in sorted(examples, key=lambda example: -len(example.ids)):
        smallest = tokens.index(min(tokens))
        parts[smallest].append(example)
        tokens[smallest] += len(example.ids)
    return parts


def map_in_threads(
    work: Callable[[Part], Result], parts: Sequence[Part], n_threads: int
) -> Iterator[Result]:
    """The results of `work` for each part, in the order of the parts; exceptions are raised.

    torch's modes are per thread: `work` has to enter autocast or `no_grad` itself.
    """
    n_threads = min(n_threads, len(parts))
    if n_threads < 2:
        return map(work, parts)
    return _pool(n_threads, torch.get_num_threads() // n_threads).map(work, parts)


@cache
def _pool(n_threads: int, intra_op_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        n_threads,
        "tuning-worker",
        initializer=torch.set_num_threads,
        initargs=(max(1, intra_op_threads),),
    )
