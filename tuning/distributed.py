"""One run on several processes: each takes its share of every step's examples.

`torchrun` and `accelerate launch` start the processes and say so in the environment; alone, the
group is of one and does nothing. Only the prompt's gradient travels: the frozen model stands whole
in every process.
"""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """This process's number among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process measures, writes and speaks for all."""
        return self.rank == 0

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def told(self, value: float) -> float:
        """What the leading process says."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(said, src=0)
        return float(said)


def joined() -> Group:
    """The group that the environment speaks of (RANK, WORLD_SIZE), joined over gloo."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Group()
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    return Group(dist.get_rank(), dist.get_world_size())
