"""Run a network on stimuli and keep every state: the network Dataset of the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from cortexres import io
from cortexres.errors import ArgumentError
from cortexres.nn.inputs import inputs_of, place_of
from cortexres.nn.recording.keeping import InMemory, Keeper, Store
from cortexres.nn.recording.states import START, Recordable, Source, Stage, source_of
from cortexres.provenance import provenance

Inputs = Callable[[xr.Dataset], Tensor]
Reduce = Callable[[Tensor], Tensor]


@overload
def record(
    network: Recordable,
    stimuli: xr.Dataset,
    *,
    steps: int | None = ...,
    batch_size: int = ...,
    inputs: Inputs | None = ...,
    reduce: Reduce | None = ...,
    path: str | Path | None = ...,
) -> xr.Dataset: ...
@overload
def record(
    network: object,
    stimuli: xr.Dataset,
    *,
    steps: int | None = ...,
    batch_size: int = ...,
    inputs: Inputs | None = ...,
    additions: Sequence[str] | None = ...,
    modules: Sequence[str] | None = ...,
    reduce: Reduce | None = ...,
    path: str | Path | None = ...,
) -> xr.Dataset | xr.DataTree: ...
def record(
    network: object,
    stimuli: xr.Dataset,
    *,
    steps: int | None = None,
    batch_size: int = 64,
    inputs: Inputs | None = None,
    additions: Sequence[str] | None = None,
    modules: Sequence[str] | None = None,
    reduce: Reduce | None = None,
    path: str | Path | None = None,
) -> xr.Dataset | xr.DataTree:
    """Return the network Dataset, (stimulus, block, unit): response, update, what was carried, and their sum.

    Networks of ours are recorded step by step. Of any other torch model the residual additions are found in its graph
    (see `find_additions`) and recorded while the graph runs, in evaluation and without gradients, so that
    ``carried + update`` is the recorded sum to the last bit.

    Parameters
    ----------
    network : Module or Recordable
        A network of `cortexres.nn` or `cortexres.bridge`, any torch model, or anything with `inputs` and `trajectory`.
        It runs where its parameters are.
    stimuli : Dataset
        Images (stimulus, y, x) or (stimulus, channel, y, x); their ids and labels are carried over.
    steps : int, optional
        Number of blocks, where the network is one recurrence; the network's own where it is left out.
    batch_size : int
        Stimuli at a time; what is in memory at once, where `path` is given. The last batch is filled up.
    inputs : callable, optional
        Dataset of a batch of stimuli -> what the network sees, (stimulus, ...); `inputs_of` where it is left out.
    additions : sequence of str, optional
        The additions to record by the names of `find_additions`, also such as it does not count.
    modules : sequence of str, optional
        Modules to take as residual blocks where the graph cannot be followed: input x, output x + F(x). Then F(x) is
        their difference, exact to rounding.
    reduce : callable, optional
        Linear map of states, (batch, ...) -> (batch, ...), such as `spatial_mean`.
    path : str or Path, optional
        netCDF file to write batch by batch; what is returned is then read from it as it is needed.

    Returns
    -------
    Dataset or DataTree
        A Dataset where all blocks have one shape; otherwise a tree of one Dataset per stage, ``stage_0``, ..., or per
        area by its name, where the network has areas.
        Besides `response` (the state after the block, after the activation or norm that may follow the sum) and
        `update`, F(x): `carried`, x, for networks that are not `Recordable` alone, and `sum`, x + F(x), in stages
        where it is not the response. Block 0 is the state that enters the first block, or what is carried of it where
        the shape changes.

    Raises
    ------
    ArgumentError
        If there are no stimuli, the network does not run on them, an option is out of range or does not apply, no
        residual addition is found, a state is not finite, or the facts of the network cannot be written as JSON.
    DataFileError
        If the file cannot be written.
    """
    count = stimuli.sizes["stimulus"]
    if batch_size < 1:
        raise ArgumentError(f"got batch_size={batch_size}, expected 1 or more")
    if count < 1:
        raise ArgumentError("got no stimuli, expected one or more")
    batch = min(batch_size, count)

    def seen(start: int) -> Tensor:
        # The graph of a model is that of one batch size, so the last batch repeats the last stimulus.
        rows = np.minimum(np.arange(start, start + batch), count - 1)
        return _seen(network, stimuli.isel(stimulus=rows), inputs)

    first = seen(0)
    try:
        source = source_of(network, first, steps=steps, additions=additions, modules=modules)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ArgumentError(
            f"got inputs of shape {tuple(first.shape)}, on which the {type(network).__name__} does not run "
            f"({str(error).splitlines()[0]}); give images of its size, or say with inputs= what it sees"
        ) from error

    groups = _groups(source.stages)

    def fill(store: Store) -> None:
        keeper = Keeper(store, groups=groups, count=count, reduce=reduce, units=_units(network))
        for start in range(0, count, batch):
            source.run(first if start == 0 else seen(start), keeper.rows(start, min(start + batch, count)))
        described = _described(keeper, network, source, stimuli)
        for group, dataset in zip(groups, described, strict=True):
            store.describe(group, dataset)
        if len(groups) > 1:
            store.describe("/", xr.Dataset(attrs=described[0].attrs))

    if path is None:
        memory = InMemory()
        fill(memory)
        return memory.result()
    with io.streamed(path) as stream:
        fill(stream)
    return io.open_stream(path)


def spatial_mean(states: Tensor) -> Tensor:
    """Return the mean over y and x of maps, (batch, channel, y, x) -> (batch, channel)."""
    if states.ndim != 4:
        raise ArgumentError(
            f"got states of shape {tuple(states.shape)}, expected maps, (batch, channel, y, x); give reduce= your own"
        )
    return states.mean((2, 3))


def _seen(network: object, stimuli: xr.Dataset, inputs: Inputs | None) -> Tensor:
    if inputs is None:
        return inputs_of(network, stimuli)
    seen = inputs(stimuli)
    count = stimuli.sizes["stimulus"]
    if not isinstance(seen, Tensor) or not seen.ndim or len(seen) != count:
        got = f"a tensor of shape {tuple(seen.shape)}" if isinstance(seen, Tensor) else f"a {type(seen).__name__}"
        raise ArgumentError(f"got {got} from inputs=, expected a tensor with {count} stimuli first")
    return seen.to(place_of(network)[0])


def _units(network: object) -> str:
    return "1" if _time_step(network) is None else "Hz"


def _time_step(network: object) -> float | None:
    dt_ms = getattr(network, "dt_ms", None)
    return float(dt_ms) if isinstance(dt_ms, int | float) else None


def _groups(stages: Sequence[Stage]) -> list[str]:
    """Return the names of the groups in which stages are kept; one alone is at the root."""
    if len(stages) == 1:
        return ["/"]
    return [f"/{stage.area or f'stage_{k}'}" for k, stage in enumerate(stages)]


def _described(keeper: Keeper, network: object, source: Source, stimuli: xr.Dataset) -> list[xr.Dataset]:
    """Return the coordinates and attributes of each stage."""
    own = getattr(network, "name", None)
    name = own if isinstance(own, str) else type(network).__name__
    dt_ms = _time_step(network)
    attrs = {
        "model": name,
        "cortexres_provenance": provenance(
            model=name,
            steps=sum(blocks - 1 for blocks in keeper.blocks),
            dt_ms=dt_ms,
            stimuli=dict(stimuli.attrs),
            stimulus_ids=stimuli["stimulus"].to_numpy(),
            network=dict(source.facts),
        ),
    }
    labels: Mapping[str, np.ndarray] = getattr(network, "unit_coords", None) or {}
    described = []
    for k, stage in enumerate(source.stages):
        coords = _coordinates(stimuli, keeper, k, stage)
        if dt_ms is not None:
            coords["t_ms"] = ("block", coords["block"] * dt_ms, {"units": "ms"})
        coords |= {key: ("unit", np.asarray(values)) for key, values in labels.items()}
        described.append(xr.Dataset(coords=coords, attrs=attrs))
    return described


def _coordinates(stimuli: xr.Dataset, keeper: Keeper, k: int, stage: Stage) -> dict[str, Any]:
    """Return the coordinates of the schema, with those of the stimuli that vary with the stimulus alone."""
    blocks = np.arange(keeper.blocks[k])
    shape = keeper.shapes[k]
    coords: dict[str, Any] = {
        "stimulus": stimuli["stimulus"].to_numpy(),
        "block": blocks,
        "unit": np.arange(int(np.prod(shape))),
        "stage": ("block", np.full(len(blocks), k)),
    }
    if stage.modules:
        coords["module"] = ("block", np.array(["", *stage.modules]))
        coords["kind"] = ("block", np.array([START, *stage.kinds]))
    if stage.area:
        coords["area"] = ("unit", np.full(coords["unit"].size, stage.area))
    if stage.layout and len(shape) == len(stage.layout):
        places = np.indices(shape).reshape(len(shape), -1)
        coords |= {dim: ("unit", place) for dim, place in zip(stage.layout, places, strict=True)}
    for key, values in stimuli.coords.items():
        if values.dims == ("stimulus",) and key != "stimulus":
            coords[str(key)] = ("stimulus", values.to_numpy())
    return coords
