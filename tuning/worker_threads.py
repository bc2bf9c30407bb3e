"""Lanes: threads that compute side by side, each with its share of the work and of the cores.

Two threads inside of one small matrix product make it a fifth quicker; with a batch of documents
each they do half as much again or more (docs/experiments.md).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

from code_model.decoder.llama import Llama
from tuning.distributed import is_sharded
from tuning.examples import Example

Part = TypeVar("Part")
Result = TypeVar("Result")


def dealt(examples: Sequence[Example], lanes: int) -> list[list[Example]]:
    """The examples in at most `lanes` parts of about as many tokens.

    The longest first, each to the part that has the fewest tokens so far.
    """
    parts = [list[Example]() for _ in range(min(lanes, len(examples)))]
    tokens = [0] * len(parts)
    for example in sorted(examples, key=lambda one: -len(one.ids)):
        least = tokens.index(min(tokens))
        parts[least].append(example)
        tokens[least] += len(example.ids)
    return parts


def lanes_of(model: Llama) -> int:
    """How many lanes a model can be used in: layers that processes gather together leave one."""
    return 1 if is_sharded(model) else torch.get_num_threads()


def side_by_side(
    work: Callable[[Part], Result], parts: Sequence[Part], lanes: int
) -> Iterator[Result]:
    """What `work` makes of each part, in their order; what it raises is raised.

    Modes of torch are a thread's own: `work` has to enter autocast or `no_grad` itself.
    """
    lanes = min(lanes, len(parts))
    if lanes < 2:
        return map(work, parts)
    return _threads(lanes, torch.get_num_threads() // lanes).map(work, parts)


@cache
def _threads(lanes: int, threads_of_each: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        lanes, "lane", initializer=torch.set_num_threads, initargs=(max(1, threads_of_each),)
    )
