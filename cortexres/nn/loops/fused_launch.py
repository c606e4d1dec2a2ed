"""Starting the kernels of `fused_kernels`: how a run is cut into programs, and what memory they write."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from cortexres.nn.loops.leaky_form import LeakyForm
from cortexres.nn.loops.run import Readout
from cortexres.nn.loops.shares import Share


class Kept(NamedTuple):
    """What a forward kernel wrote."""

    states: Tensor  # (steps + 1, batch, unit), where they were kept
    rates: Tensor  # (steps, batch, unit), likewise
    picked: Tensor  # (batch, unit)
    last: Tensor

    def wanted(self, readout: Readout) -> Tensor | None:
        """Return the states that are read beside the last one."""
        if readout == "all":
            # never a view of what the backward pass reads, as contiguous() is of a single sample
            return self.states[1:].transpose(0, 1).clone(memory_format=torch.contiguous_format)
        return None if readout == "last" else self.picked


def forward(form: LeakyForm, start: Tensor, steps: int, readout: Readout, *, for_backward: bool) -> Kept:
    """Take the steps; `for_backward` says whether all is kept that the backward pass needs."""
    tile, keep, drive = tile_of(start), for_backward or readout == "all", form.drive
    batch, units = start.shape
    if drive is not None:
        drive = _with_unit_stride(drive.detach()) if drive.ndim == 3 else drive.detach().contiguous()
    picks = isinstance(readout, int)
    rows = steps + 1 if keep else 0 if tile.whole else 2
    kept = Kept(
        states=start.new_empty(rows, batch, units),
        rates=start.new_empty(steps if for_backward else 0, batch, units),
        picked=start.new_empty(batch if picks else 0, units),
        last=start.new_empty(batch, units),
    )
    none = start.new_empty(0)
    with _device_of(start):
        kernels().forward[tile.grid(batch)](
            start.detach().contiguous(),
            form.weight.detach().t().contiguous(),
            none if form.bias is None else form.bias.detach().contiguous(),
            none if drive is None else drive,
            _per_unit(form.carried, start),
            _per_unit(form.added, start),
            *kept,
            batch,
            steps,
            cast("int", readout) - 1 if picks else 0,
            *((drive.stride(0), drive.stride(1)) if drive is not None and drive.ndim == 3 else (0, 0)),
            BIAS=form.bias is not None,
            DRIVE=0 if drive is None else drive.ndim,
            KEEP=keep,
            KEEP_RATES=for_backward,
            PICK=picks,
            **_constants(form, tile, units, start.dtype),
        )
    return kept


def backward(
    form: LeakyForm,
    states: Tensor,
    rates: Tensor,
    gradients: tuple[Tensor | None, Tensor | None],
    readout: Readout,
    needed: tuple[bool, ...],
    drive: torch.Size | None,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of (weight, bias, drive, start), the drive given by its shape."""
    given, to_last = gradients
    if to_last is None and isinstance(readout, int):  # no gradient comes from beyond, and states there may be infinite
        states, rates = states[: readout + 1], rates[:readout]
    steps, batch, units = rates.shape
    start, tile = states[0], tile_of(states[0])
    gradient = torch.zeros_like(start) if to_last is None else to_last.clone(memory_format=torch.contiguous_format)
    if given is not None:
        given = _with_unit_stride(given) if readout == "all" else given.contiguous()
    currents = torch.empty_like(rates)
    with _device_of(start):
        kernels().backward[tile.grid(batch)](
            gradient,
            start.new_empty(0) if given is None else given,
            form.weight.detach().contiguous(),
            _per_unit(form.carried, start),
            _per_unit(form.added, start),
            states,
            rates,
            currents,
            batch,
            steps,
            readout - 1 if isinstance(readout, int) else 0,
            *((given.stride(0), given.stride(1)) if given is not None and given.ndim == 3 else (0, 0)),
            GIVEN=0 if given is None else given.ndim,
            **_constants(form, tile, units, start.dtype),
        )
    sent = torch.relu(states[:-1]) if form.rectified else states[:-1]
    return (
        torch.mm(currents.view(-1, units).t(), sent.reshape(-1, units)) if needed[0] else None,
        currents.sum(dim=(0, 1)) if needed[1] else None,
        _of_drive(cast("torch.Size", drive), currents) if needed[2] else None,
        gradient if needed[3] else None,
    )


def _of_drive(shape: torch.Size, currents: Tensor) -> Tensor:
    """Return the gradient of the drive; frames that no step has seen have none."""
    if len(shape) == 2:
        return currents.sum(dim=0)
    found = currents.new_zeros(shape)
    found[:, : len(currents)] = currents.transpose(0, 1)
    return found


def _with_unit_stride(movie: Tensor) -> Tensor:
    return movie if movie.stride(2) == 1 else movie.contiguous()


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _per_unit(share: Share | None, like: Tensor) -> Tensor:
    """Return a share of every unit, in the precision of the sums: a number of a kernel would be float32."""
    dtype, units = _sum_dtype(like.dtype), like.shape[1]
    if isinstance(share, Tensor):
        return share.to(dtype).expand(units).contiguous()
    return torch.full((0 if share is None else units,), share or 0.0, dtype=dtype, device=like.device)


def _constants(form: LeakyForm, tile: Tile, units: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return what makes kernels of their own, for both passes."""
    types = import_module("triton.language")
    name = str(dtype).removeprefix("torch.")
    if name == "bfloat16" and kernels().INTERPRETED:
        name = "float32"  # the interpreter rounds to bfloat16, and does not compute in it
    return {
        "N": units,
        "PADDED": tile.padded,
        "SAMPLES": tile.samples,
        "ROWS": tile.rows,
        "WHOLE": tile.whole,
        "FACTOR": getattr(types, name),
        "SUM": types.float64 if dtype == torch.float64 else types.float32,
        "FUNCTION": form.function,
        "RECTIFIED": form.rectified,
        "CARRIES": form.carried is not None,
        "num_warps": tile.warps,
        "num_stages": 1 if tile.whole else 2,
    }


class Tile(NamedTuple):
    """How a run is cut: chosen such that kernels compiled for the H100 and the A100 hold all in registers."""

    padded: int  # units
    samples: int  # of a program
    whole: bool  # whether the weights stay on the multiprocessor
    rows: int  # of the weights at a time, where not
    warps: int

    def grid(self, batch: int) -> tuple[int]:
        """Return how many programs a batch needs."""
        return (-(-batch // self.samples),)


def tile_of(start: Tensor) -> Tile:
    """Return how a run is cut: all multiprocessors have samples before one has more than it must."""
    batch, units = start.shape
    padded = max(16, _power_of_two(units))
    size = start.element_size()
    # tensor cores take 16 samples at once, whether there are as many or not
    fewest, most = {2: (16, 32), 4: (4, 16), 8: (8, 8)}[size]
    share = -(-batch // multiprocessors(start.device))
    return Tile(
        padded=padded,
        samples=min(max(_power_of_two(share), fewest), most),
        whole=padded <= {2: 256, 4: 128, 8: 64}[size],
        rows=16,
        warps=4 if padded <= 64 else 8,
    )


def _power_of_two(count: int) -> int:
    """Return the first power of two that is not below a count."""
    return 1 << (count - 1).bit_length()


@cache
def multiprocessors(device: torch.device) -> int:
    """Return how many programs run at the same time; in the interpreter one, which is fastest with many samples."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


@cache
def kernels() -> Any:
    """Return the module of kernels; None where Triton is not installed."""
    try:
        return import_module("cortexres.nn.loops.fused_kernels")
    except ImportError:
        return None


def _device_of(tensor: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which kernels start on the GPU of a tensor."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
