"""One run on several processes: each takes its share of every step's examples.

`torchrun` and `accelerate launch` start the processes and say so in the environment; alone, the
group is of one and does nothing. The frozen model stands whole in every process, and only the
prompt's gradient travels. Where so many copies would not fit, each process keeps its share of the
layers' weights and a layer is gathered while it computes (FSDP2).
"""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from code_model.decoder.llama import Llama

COPIES_SHARE = 0.5  # of a machine's memory; the rest is for activations and everybody else


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


def fits(model: Llama, group: Group) -> bool:
    """Whether a whole copy for each process of this machine leaves room to work."""
    copies = int(os.environ.get("LOCAL_WORLD_SIZE", group.size))
    size = sum(one.numel() * one.element_size() for one in model.parameters())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return copies * size <= COPIES_SHARE * memory


def shard(model: Llama, group: Group) -> None:
    """Keep only this process's share of every layer; embeddings and the last norm stay whole.

    From then on the group's processes must compute the same number of times, together.
    """
    # half a second to import, and hardly anybody needs it
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (group.size,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)


def is_sharded(model: Llama) -> bool:
    """Whether `shard` has been here."""
    return hasattr(model.blocks[0], "unshard")  # FSDP2 makes it one of its modules
