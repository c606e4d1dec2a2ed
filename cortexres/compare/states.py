"""State by state: has the network the circuit's rates at t = k dt, beside what noise and nulls allow?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import xarray as xr

from cortexres.compare.nulls import constant_trace
from cortexres.compare.pairing import float_values, paired
from cortexres.compare.variance import Explained, explained, mean_noise
from cortexres.compare.windows import Window, bin_width, in_window, late_window
from cortexres.errors import ArgumentError
from cortexres.schema import check_brain, check_network

CURRENTS = {"currents_excitatory": "recurrent_excitatory", "currents_inhibitory": "recurrent_inhibitory"}

MEANINGS = {
    "r2": "explained variance of the rates, pooled over stimulus, time and unit about the grand mean",
    "r2_ceiling": "1 - trial sampling variance of the mean / total variance",
    "r2_denoised": "explained variance with the trial sampling variance taken from residual and total",
    "shape_r2": "explained variance of each trace minus its own late mean",
    "shape_ceiling": "the same ceiling for the trace minus its late mean",
    "shape_denoised": "denoised explained variance of the trace minus its late mean",
    "steady_error_median": "median over stimulus x unit of |late mean - brain's| / brain's",
    "steady_error_p90": "90th percentile over stimulus x unit of |late mean - brain's| / brain's",
    "constant_r2": "explained variance of the brain's own final rates, held from onset on",
    "currents_excitatory_r2": "explained variance of the recurrent excitatory input",
    "currents_inhibitory_r2": "explained variance of the recurrent inhibitory input",
}


def state_scores(
    brain: xr.Dataset, network: xr.Dataset, *, window: Window = (0.0, np.inf), late: Window | None = None
) -> xr.Dataset:
    """Return scalars that say how well the network's states are the brain's rates, beside what noise allows.

    The network is averaged over the brain's bins (`at_bins`); bins before onset, and those the network does
    not reach, are left out (with a warning for the latter). Every R2 is pooled: sums of squares over
    stimulus, time and unit, the total about the *one* grand mean. Much of that total is the difference
    between units and between stimuli, which is why ``constant_r2`` (an oracle without dynamics) stands beside
    ``r2``, and why the shape is scored alone.

    ``shape_*`` takes from each trace (stimulus, unit) its own late mean, trial by trial, so that the noise of
    the difference is estimated from the trials themselves, with the noise that bins share. ``steady_error_*``
    are relative, in the late window, over the pairs of stimulus and unit for which the brain's late rate is
    not 0; the number left out is in the attribute ``silent``. They include the brain's own trial noise.

    Parameters
    ----------
    brain, network : xarray.Dataset
        Same stimuli and same units, the network with ``t_ms``.
    window : tuple of float
        First and last bin centre scored, in ms; never before 0.
    late : tuple of float, optional
        First and last bin centre of the steady state; the last half of the time since onset by default.

    Returns
    -------
    xarray.Dataset
        Scalars; NaN where undefined (one trial: ceiling and denoised; ceiling not above zero: denoised).
        ``currents_*_r2`` only where both sides have the component.

    Raises
    ------
    SchemaError
        If stimuli or units differ.
    ArgumentError
        If a window holds no bin, or the network has no time.
    """
    check_brain(brain)
    check_network(network)
    brain_bins, network_bins = paired(brain, network)
    _warn_uncovered(brain, brain_bins)
    scored = in_window(brain_bins["time"], (max(0.0, window[0]), window[1]), "window")
    late = late or late_window(brain_bins["time"], bin_width(brain))
    steady = in_window(brain_bins["time"], late, "late")
    trials, states = float_values(brain_bins["response"]), float_values(network_bins["response"])
    constant = float_values(constant_trace(brain_bins, late=late))
    errors = _steady_errors(trials[:, :, steady].mean(axis=(1, 2)), states[:, steady].mean(axis=1))
    scores = (
        _named("r2", "r2", _scored(trials, states, scored, "rates"))
        | _named("shape", "shape_r2", _scored(_shape(trials, steady), _shape(states, steady), scored, "shape"))
        | {
            "steady_error_median": float(np.nanmedian(errors)) if np.isfinite(errors).any() else np.nan,
            "steady_error_p90": float(np.nanquantile(errors, 0.9)) if np.isfinite(errors).any() else np.nan,
            "constant_r2": _plain(trials.mean(axis=1), constant, scored),
        }
        | _currents(brain_bins, network_bins, scored)
    )
    return _dataset(scores, network, brain_bins["time"].values[scored], late, int(np.isnan(errors).sum()))


def model_nulls(
    brain: xr.Dataset,
    networks: Mapping[str, xr.Dataset],
    *,
    window: Window = (0.0, np.inf),
    late: Window | None = None,
) -> xr.Dataset:
    """Return `state_scores` of several networks along the dim ``model``, their names as coordinate ``name``.

    Null models are networks that lack one thing (shuffled weights, no recurrence); the caller makes them, so
    that this module need not know of networks.

    Parameters
    ----------
    brain : xarray.Dataset
        Brain Dataset.
    networks : mapping of str to xarray.Dataset
        Network Datasets by name.
    window, late : tuple of float
        As in `state_scores`.

    Raises
    ------
    ArgumentError
        If there are no networks.
    """
    if not networks:
        raise ArgumentError("got no networks, expected at least one null model as name -> network Dataset")
    scores = [state_scores(brain, network, window=window, late=late) for network in networks.values()]
    joined = xr.concat(scores, "model", data_vars="all", coords="minimal", join="exact", combine_attrs="drop_conflicts")
    return joined.assign_coords(model=np.arange(len(scores)), name=("model", list(networks)))


def _shape(values: np.ndarray, steady: np.ndarray) -> np.ndarray:
    """Return traces (..., time, unit) minus their own mean over the late bins."""
    shape: np.ndarray = values - values[..., steady, :].mean(axis=-2, keepdims=True)
    return shape


def _scored(trials: np.ndarray, states: np.ndarray, scored: np.ndarray, what: str) -> Explained:
    trials, states = trials[:, :, scored], states[:, scored]
    return explained(trials.mean(axis=1), states, float(mean_noise(trials).sum()), what=what)


def _plain(mean: np.ndarray, prediction: np.ndarray, scored: np.ndarray) -> float:
    return explained(mean[:, scored], prediction[:, scored], np.nan, what="").r2


def _named(prefix: str, raw: str, result: Explained) -> dict[str, float]:
    return {raw: result.r2, f"{prefix}_ceiling": result.ceiling, f"{prefix}_denoised": result.denoised}


def _steady_errors(brain: np.ndarray, network: np.ndarray) -> np.ndarray:
    """Return relative errors (stimulus, unit), NaN where the brain is silent."""
    errors: np.ndarray = np.abs(network - brain) / np.where(brain > 0, brain, np.nan)
    return errors


def _currents(brain: xr.Dataset, network: xr.Dataset, scored: np.ndarray) -> dict[str, float]:
    return {
        f"{name}_r2": _plain(float_values(brain[part].mean("trial")), float_values(network[part]), scored)
        for name, part in CURRENTS.items()
        if part in brain.data_vars and part in network.data_vars
    }


def _warn_uncovered(brain: xr.Dataset, covered: xr.Dataset) -> None:
    since_onset = int((brain["time"].values >= 0).sum())
    if covered.sizes["time"] < since_onset:
        warnings.warn(
            f"network covers {covered.sizes['time']} of the {since_onset} bins since onset, and only those"
            " are scored;"
            " record more blocks to score all",
            stacklevel=3,
        )


def _dataset(scores: dict[str, float], network: xr.Dataset, times: np.ndarray, late: Window, silent: int) -> xr.Dataset:
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "window_ms": [float(times[0]), float(times[-1])],
        "late_ms": [float(late[0]), float(late[1])],
        "silent": silent,
    }
    variables = {
        name: xr.Variable((), value, {"units": "1", "long_name": MEANINGS[name]}) for name, value in scores.items()
    }
    return xr.Dataset(variables, attrs=attrs)
