"""Data parallelism: several processes share the examples of every step.

`torchrun` and `accelerate launch` start the processes and describe them in the environment. Each
process holds the whole frozen model; only the gradient of the prompt is exchanged. A single process
is a group of one, in which every operation returns its input.
"""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """This process's `rank` among `size` processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process evaluates, writes and reports for all."""
        return self.rank == 0

    def all_reduce(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: float) -> float:
        """The main process's `value`."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return float(shared)


def init_process_group() -> ProcessGroup:
    """Join the group that the environment describes (RANK, WORLD_SIZE), over gloo."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ProcessGroup()
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    return ProcessGroup(dist.get_rank(), dist.get_world_size())
