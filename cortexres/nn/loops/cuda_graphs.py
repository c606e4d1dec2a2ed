"""Work for a GPU that is recorded once and replayed: one call starts all of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Work = Callable[[], Sequence[Tensor | None]]
_WARM_UPS = 3  # as torch's own: libraries choose their algorithms, and Triton compiles


def available(device: torch.device) -> bool:
    """Return whether a device has graphs, and is not in the middle of another one."""
    return device.type == "cuda" and not torch.cuda.is_current_stream_capturing()


def pool(device: torch.device) -> Any:
    """Return the memory that recordings of one run share."""
    with torch.cuda.device(device):
        return torch.cuda.graph_pool_handle()


def warm_up(work: Callable[[], object], device: torch.device) -> None:
    """Do work a few times beside the current stream, before it is recorded."""
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
            for _ in range(_WARM_UPS):
                work()
        torch.cuda.synchronize()


class Recording:
    """Recorded work, and the tensors that each replay writes anew.

    Parameters
    ----------
    work : callable
        What is recorded: kernels on fixed memory, by one stream, without waiting for their results.
    device : torch.device
        The GPU.
    memory : object
        Of `pool`: what is recorded later may use again what was recorded before and is no longer needed.
    """

    def __init__(self, work: Work, device: torch.device, memory: Any) -> None:
        self.device, self.graph = device, torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.cuda.graph(self.graph, pool=memory):
            self.results: list[Any] = list(work())  # tensors; None where a gradient is not needed

    def replay(self) -> None:
        """Do the work again, on the current stream."""
        with torch.cuda.device(self.device):
            self.graph.replay()
