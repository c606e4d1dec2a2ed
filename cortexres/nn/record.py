"""Run a network on stimuli and keep every state: the network Dataset of the schema."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.provenance import provenance

COMPONENTS = ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")


class Recordable(Protocol):
    """What `record` needs of a network.

    It may also have `name` (str), `dt_ms` (float, the time one block stands for), `unit_coords` (labels of
    the units by name, each an array with one entry per unit) and `facts` (mapping that JSON can say, kept as
    ``network`` in the provenance: what the network is).
    """

    def inputs(self, stimuli: xr.Dataset) -> Tensor:
        """Return what the network sees, (stimulus, input)."""
        ...

    def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Tensor]:
        """Return states by name, each (stimulus, steps + 1, unit); ``"response"`` is required."""
        ...


def record(network: Recordable, stimuli: xr.Dataset, *, steps: int | None = None) -> xr.Dataset:
    """Return the network Dataset: response, update and input components, (stimulus, block, unit).

    Parameters
    ----------
    network : Recordable
        A `ResidualNetwork`, a network of `cortexres.bridge`, or anything with the same two methods.
    stimuli : Dataset
        Images (stimulus, y, x); their ids and labels are carried over.
    steps : int, optional
        Number of blocks; the network's own where it is left out.

    Raises
    ------
    ArgumentError
        If `steps` is negative, the network returns no response, a state of another shape, or one that is
        not finite, or its facts cannot be written as JSON.
    """
    if steps is not None and steps < 0:
        raise ArgumentError(f"got steps={steps}, expected 0 or more blocks to record")
    with torch.no_grad():
        states = network.trajectory(network.inputs(stimuli), steps)
    arrays = {key: value.detach().cpu().numpy() for key, value in states.items()}
    _check(arrays, stimuli.sizes["stimulus"])
    response = arrays["response"]
    dt_ms: float | None = getattr(network, "dt_ms", None)
    units = "Hz" if dt_ms is not None else "1"
    update = np.diff(response, axis=1, prepend=response[:, :1])
    dims = ("stimulus", "block", "unit")
    variables = {
        "response": (dims, response, {"units": units, "long_name": "state after the block"}),
        "update": (dims, update, {"units": units, "long_name": "what the block added"}),
    } | {key: (dims, arrays[key], {"units": "mV"}) for key in COMPONENTS if key in arrays}
    name = str(getattr(network, "name", type(network).__name__))
    made_by = provenance(
        model=name,
        steps=response.shape[1] - 1,
        dt_ms=dt_ms,
        stimuli=dict(stimuli.attrs),
        stimulus_ids=stimuli["stimulus"].to_numpy(),
        network=dict(getattr(network, "facts", None) or {}),
    )
    coords = _coordinates(stimuli, response, dt_ms, getattr(network, "unit_coords", None) or {})
    return xr.Dataset(variables, coords=coords, attrs={"model": name, "cortexres_provenance": made_by})


def _coordinates(
    stimuli: xr.Dataset, response: np.ndarray, dt_ms: float | None, unit_coords: dict[str, np.ndarray]
) -> dict[str, object]:
    """Return the coordinates of the schema, with those of the stimuli that vary with the stimulus alone."""
    blocks = np.arange(response.shape[1])
    coords: dict[str, object] = {
        "stimulus": stimuli["stimulus"].to_numpy(),
        "block": blocks,
        "unit": np.arange(response.shape[2]),
        "stage": ("block", np.zeros(len(blocks), dtype=int)),
    }
    if dt_ms is not None:
        coords["t_ms"] = ("block", blocks * dt_ms, {"units": "ms"})
    for key, values in stimuli.coords.items():
        if values.dims == ("stimulus",) and key != "stimulus":
            coords[str(key)] = ("stimulus", values.to_numpy())
    return coords | {key: ("unit", np.asarray(values)) for key, values in unit_coords.items()}


def _check(arrays: dict[str, np.ndarray], n_stimuli: int) -> None:
    """Raise where a trajectory cannot become a Dataset."""
    if "response" not in arrays:
        raise ArgumentError(f"got a trajectory with {sorted(arrays)}, expected 'response' among its keys")
    shape = arrays["response"].shape
    for key, values in arrays.items():
        if values.ndim != 3 or values.shape[0] != n_stimuli or values.shape != shape:
            raise ArgumentError(
                f"got {key} of shape {values.shape}, expected ({n_stimuli} stimuli, blocks + 1, units), "
                "the same for all states"
            )
        if not np.isfinite(values).all():
            raise ArgumentError(
                f"got {key} with NaN or infinite values, expected finite states: the network diverges; "
                "use fewer steps or a smaller gain"
            )
