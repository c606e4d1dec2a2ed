"""The dissimilarity movie: how far apart any two stimuli are, at every time of a recording or block of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr

from cortexres.compare.measures.crossnobis import NOISES, Noise, crossnobis, mahalanobis
from cortexres.compare.measures.dissimilarities import one_minus_correlation, squared_euclidean
from cortexres.compare.pairing import float_values
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network

Method = Literal["squared_euclidean", "correlation", "mahalanobis", "crossnobis"]
LONG_NAMES: dict[str, str] = {
    "squared_euclidean": "squared Euclidean distance of the mean responses, per unit",
    "correlation": "1 - correlation of the mean responses over units",
    "mahalanobis": "squared Mahalanobis distance of the mean responses, per unit",
    "crossnobis": "cross-validated squared Mahalanobis distance, per unit: 0 on average where means are the same",
}
OF_TRIALS = ("mahalanobis", "crossnobis")


def dissimilarities(
    data: xr.Dataset,
    *,
    method: Method = "squared_euclidean",
    folds: int | Sequence[int] | None = None,
    noise: Noise = "all_times",
) -> xr.Dataset:
    """Return ``dissimilarity`` (time, stimulus, stimulus_2) of a brain Dataset, (block, ...) of a network's.

    Parameters
    ----------
    data : xarray.Dataset
        Brain or network Dataset.
    method : {"squared_euclidean", "correlation", "mahalanobis", "crossnobis"}
        The first two are of the mean over trials. All but the correlation are divided by the number of units. The
        last two need trials, and with ``noise="white"`` they are Euclidean. Only crossnobis is not raised by trial
        noise (exactly so if white; see `crossnobis`); it can be below 0.
    folds : int or sequence of int, optional
        For crossnobis: into how many runs of neighbouring trials to part them, or the fold of each trial. Each
        trial by default.
    noise : {"all_times", "each_time", "white"}
        For Mahalanobis and crossnobis: one noise covariance for the whole recording, one for each time, or none.
        Covariances are shrunk towards uncorrelated noise; units without noise are left out.

    Returns
    -------
    xarray.Dataset
        NaN where it is undefined, which ``dissimilarity.attrs["undefined"]`` explains: a pattern that is flat over
        units has no correlation.

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If the method is not known or needs trials that are not there, `folds` or `noise` are given to a method that has
        none, or folds cannot be made.
    """
    of_brain = "time" in data.dims
    if of_brain:
        check_brain(data)
    else:
        check_network(data)
    dim = "time" if of_brain else "block"
    _check(method, of_brain, folds, noise)
    values = _movie(float_values(data["response"]), method, of_brain, folds, noise)
    flat = np.isnan(values).any(axis=(1, 2))
    units = str(data["response"].attrs["units"])
    squared = method == "squared_euclidean" or (method in OF_TRIALS and noise == "white")
    attrs = {
        "units": f"{units}^2" if squared and units != "1" else "1",
        "long_name": LONG_NAMES[method],
        "undefined": _undefined(flat, np.asarray(data[dim].values), dim),
    }
    coords = {str(name): c.variable for name, c in data.coords.items() if c.dims in ((dim,), ("stimulus",))}
    return xr.Dataset(
        {"dissimilarity": ((dim, "stimulus", "stimulus_2"), values, attrs)},
        coords=coords | {"stimulus_2": ("stimulus_2", data["stimulus"].values)},
        attrs=_facts(data, method, folds, noise),
    )


def _check(method: str, of_brain: bool, folds: int | Sequence[int] | None, noise: str) -> None:
    if method not in LONG_NAMES:
        raise ArgumentError(f"got method={method!r}, expected one of {', '.join(LONG_NAMES)}")
    if noise not in NOISES:
        raise ArgumentError(f"got noise={noise!r}, expected one of {', '.join(NOISES)}")
    if method in OF_TRIALS and not of_brain:
        raise ArgumentError(
            f"got method={method!r} for a network, which has no trials; use squared_euclidean, which crossnobis"
            " estimates"
        )
    if noise != "all_times" and method not in OF_TRIALS:
        raise ArgumentError(f"got noise={noise!r} for method={method!r}, expected it for {' or '.join(OF_TRIALS)} only")
    if folds is not None and method != "crossnobis":
        raise ArgumentError(f"got folds for method={method!r}, expected them for crossnobis only; leave them out")


def _movie(
    response: np.ndarray, method: Method, of_brain: bool, folds: int | Sequence[int] | None, noise: Noise
) -> np.ndarray:
    """Return dissimilarities (time, n, n) of responses (n, trial, time, p), or (block, n, n) of (n, block, p)."""
    if method == "crossnobis":
        return np.asarray(crossnobis(response, folds=folds, noise=noise))
    if method == "mahalanobis":
        return np.asarray(mahalanobis(response, noise=noise))
    patterns = (response.mean(axis=1) if of_brain else response).swapaxes(0, 1)
    if method == "correlation":
        return np.asarray(one_minus_correlation(patterns))
    return np.asarray(squared_euclidean(patterns) / response.shape[-1])


def _undefined(flat: np.ndarray, axis: np.ndarray, dim: str) -> str:
    if not flat.any():
        return ""
    shown = ", ".join(f"{value:g}" for value in axis[flat][:5])
    return f"a pattern is flat over units at {dim} {shown}{', ...' if flat.sum() > 5 else ''}"


def _facts(data: xr.Dataset, method: str, folds: int | Sequence[int] | None, noise: str) -> dict[str, object]:
    """Return the attributes: what was measured, of how much, and how the trials were used."""
    choices: dict[str, object] = {"noise": noise} if method in OF_TRIALS else {}
    if method == "crossnobis":
        given = data.sizes["trial"] if folds is None else folds
        choices["folds"] = given if isinstance(given, int) else np.asarray(given).tolist()
    sizes = {"n_units": data.sizes["unit"]} | ({"n_trials": data.sizes["trial"]} if "trial" in data.sizes else {})
    return {
        "model": str(data.attrs.get("model", "")),
        "measure": method,
        "orientation": "distance",
        "n_stimuli": data.sizes["stimulus"],
        **sizes,
        **choices,
        "cortexres_provenance": provenance(measure=method, **choices),
    }
