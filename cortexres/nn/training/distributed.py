"""The processes that train one network together, as `torchrun` starts them; one process is the plain case."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, generator_from


@dataclass(frozen=True)
class World:
    """This process's number and how many there are; what it computes, the others compute on other stimuli."""

    rank: int = 0
    size: int = 1

    def share(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch, (stimulus, ...)."""
        return batch[self.rank :: self.size]

    def device(self, device: torch.device) -> torch.device:
        """Return the device of this process: of several GPUs its own one."""
        if self.size > 1 and device == torch.device("cuda"):
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return device

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return a module that computes as `network` does and averages gradients over processes.

        All start from the first one's parameters and buffers.
        """
        if self.size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the `values` of each process, in order."""
        if self.size == 1:
            return [values]
        gathered = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(gathered, values)
        return gathered

    def first(self, values: Tensor) -> Tensor:
        """Return `values`, which are then those of the first process."""
        if self.size > 1:
            dist.broadcast(values, 0)
        return values

    def generator(self, rng: Rng) -> torch.Generator:
        """Return a generator that is in the same state in all processes."""
        generator = generator_from(rng)
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, ())))
        generator.set_state(self.first(generator.get_state()))
        return generator

    def check_shares(self, count: int, size: int) -> None:
        """Raise where the batches of `size` out of `count` stimuli leave a process without any.

        Raises
        ------
        ArgumentError
            Then.
        """
        smallest = min(size, count % size or size)
        if smallest < self.size:
            raise ArgumentError(
                f"got a batch of {smallest} ({count} stimuli in batches of {size}), expected one stimulus or more "
                f"for each of {self.size} processes: choose another batch_size"
            )


def join() -> World:
    """Return the processes that `torchrun` started, joined from the first call until this one ends."""
    if not (dist.is_available() and dist.is_initialized()):
        if not started_by_torchrun():
            return World()
        # Imported after the processes have joined, as every optimizer does, it would hold on to their group.
        importlib.import_module("torch._dynamo")
        dist.init_process_group()
        # Not sooner: processes that part and join again can wait for each other forever.
        atexit.register(part)
    return World(dist.get_rank(), dist.get_world_size())


def part() -> None:
    """Leave the processes that were joined, with no thread of theirs left running.

    A thread that drops its last tensor while the interpreter shuts down aborts the process (PyTorch issue 190489).
    The threads end with the group's last owner, which may be a data-parallel network in a cycle of references.
    """
    if dist.is_initialized():  # else the program has left them itself
        gc.collect()
        dist.destroy_process_group()


def started_by_torchrun() -> bool:
    """Return whether the environment says that this is one of several processes."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Return whether this process is the one that writes files and prints."""
    return not started_by_torchrun() or os.environ["RANK"] == "0"
