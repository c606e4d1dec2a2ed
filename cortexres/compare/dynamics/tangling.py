"""Tangling: whether nearby states move in different directions, which no smooth autonomous dynamics can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from array_api_compat import array_namespace

from cortexres.compare.dynamics.trajectories import Trajectories, trajectories
from cortexres.compare.windows import Window
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance

# Pairs of states held at a time (64 MiB in double precision).
CHUNK = 2**23


def tangling(
    data: xr.Dataset,
    *,
    rank: int | None = None,
    step_ms: float | None = None,
    epsilon: float = 0.1,
    window: Window = (0.0, np.inf),
) -> xr.Dataset:
    """Return the tangling of a brain's mean trajectories, or of a network's, at each state.

    ``Q(t) = max_t' |x'(t) - x'(t')|^2 / (|x(t) - x(t')|^2 + eps)``, t' over all times and stimuli. It is high where
    the same state is left in different directions: the state alone does not say what comes next, as under an input
    that changes. Trial noise adds to velocities more than to states, and so to tangling; compare conditions or
    areas of equal noise, at the same rank.

    A state of a network leaves with the update of the next block, divided by the step. A brain's velocity is the
    central difference of its trial mean. So the network has one state less, and the brain two: one-sided differences at
    its ends would turn away from the central ones, with four times their noise, and be what is tangled.

    Parameters
    ----------
    data : xarray.Dataset
        Brain Dataset or network Dataset.
    rank : int, optional
        Number of principal components, over all states, that are taken; all units by default.
    step_ms : float, optional
        Time of a block, for a network without ``t_ms``.
    epsilon : float
        eps in units of the variance of the states.
    window : tuple of float
        Bins of a brain that are taken, in ms.

    Returns
    -------
    xarray.Dataset
        ``tangling`` (stimulus, time or block), in 1/ms^2; ``tangling_90`` (), its 90th percentile. NaN where the
        states do not differ.

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If the steps are not equal or an option is out of range.

    References
    ----------
    Russo, A. A. et al. (2018). Motor cortex embeds muscle-like commands in an untangled population response. Neuron
    97, 953-966. doi:10.1016/j.neuron.2018.01.004
    """
    found = trajectories(data, step_ms=step_ms, window=window)
    stimuli, _, _, units = found.states.shape
    if rank is not None and not 1 <= rank <= units:
        raise ArgumentError(f"got rank={rank}, expected 1 to {units}, the number of units")
    if not 0 < epsilon < np.inf:
        raise ArgumentError(f"got epsilon={epsilon}, expected a share of the variance, above 0")
    states, velocities, places = _moving(found, rank)
    values = tangling_of_states(_flat(states), _flat(velocities), epsilon=epsilon).reshape(stimuli, -1)
    constant = bool(np.isnan(values).all())
    attrs = {"units": "1/ms^2", "undefined": "everywhere: the states are all the same" if constant else ""}
    facts = {"rank": rank or units, "epsilon": epsilon, "step_ms": found.step_ms, "axis": found.axis}
    model = str(data.attrs.get("model", ""))
    return xr.Dataset(
        {
            "tangling": (("stimulus", found.axis), values, attrs | {"long_name": "tangling"}),
            "tangling_90": ((), float(np.quantile(values, 0.9)), attrs | {"long_name": "its 90th percentile"}),
        },
        coords={"stimulus": data["stimulus"].variable, found.axis: places},
        attrs={
            "model": model,
            "n_stimuli": stimuli,
            "n_trials": found.states.shape[1],
            **facts,
            "cortexres_provenance": provenance(measure="tangling", **facts),
        },
    )


def tangling_of_states(states: Any, velocities: Any, *, epsilon: float = 0.1) -> Any:
    """Return the tangling (m,) of states (m, p) with velocities (m, p); NaN where the states are all the same.

    Written for the array API. Velocities per ms give 1/ms^2.
    """
    xp = array_namespace(states, velocities)
    centred = states - xp.mean(states, axis=0, keepdims=True)
    variance = xp.sum(centred * centred) / states.shape[0]
    floor = epsilon * xp.where(variance > 0, variance, xp.full_like(variance, float("nan")))
    step = max(CHUNK // states.shape[0], 1)
    parts = []
    for start in range(0, states.shape[0], step):
        rows = slice(start, start + step)
        moved = _squared_distances(velocities[rows, :], velocities)
        apart = _squared_distances(centred[rows, :], centred)
        parts.append(xp.max(moved / (apart + floor), axis=-1))
    return xp.concat(parts)


def _squared_distances(a: Any, b: Any) -> Any:
    """Return squared distances (k, l) of points (k, p) and (l, p); what rounding leaves below 0 is 0."""
    xp = array_namespace(a, b)
    squares = xp.sum(a * a, axis=-1)[:, None] + xp.sum(b * b, axis=-1)[None, :]
    values = squares - 2 * xp.matmul(a, xp.matrix_transpose(b))
    return xp.where(values > 0, values, xp.zeros_like(values))


def _moving(found: Trajectories, rank: int | None) -> tuple[np.ndarray, np.ndarray, xr.Variable]:
    """Return states and velocities (stimulus, step, component) and where they lie."""
    states = found.states.mean(axis=1)
    if rank is not None:
        flat = _flat(states)
        basis = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][:rank]
        states = states @ basis.T
    if found.axis == "block":
        return states[:, :-1], np.diff(states, axis=1) / found.step_ms, found.places[:-1]
    return states[:, 1:-1], (states[:, 2:] - states[:, :-2]) / (2 * found.step_ms), found.places[1:-1]


def _flat(states: np.ndarray) -> np.ndarray:
    return states.reshape(-1, states.shape[-1])
