"""How far apart two spectra of generators are: the least mean distance that one has to be moved onto the other."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from cortexres.errors import ArgumentError
from cortexres.provenance import provenance

# What is said of each side in the attributes of the result.
KEPT = ("model", "form", "step_ms", "n_stimuli", "bias")


def generator_distance(a: xr.Dataset, b: xr.Dataset) -> xr.Dataset:
    """Return Wasserstein's distance between two spectra of `generators`, and which eigenvalue goes to which.

    Eigenvalues say how fast states decay and turn along each direction, and nothing of how the directions stand to
    each other: two systems with one spectrum can differ in what they amplify on the way.

    Parameters
    ----------
    a, b : xarray.Dataset
        From `generators`, of the same rank.

    Returns
    -------
    xarray.Dataset
        ``generator_distance`` (), the mean over pairs of ``|mu - nu|``, in 1/ms; ``generator_distance_relative`` (),
        that over the mean modulus of both spectra: 0 the same, 2 at most; ``step_distance`` (), the same of the
        eigenvalues of one step, which depends on the steps, for comparison only; ``match`` (generator), the index
        in `b` of the partner of each eigenvalue of `a`.

    Raises
    ------
    ArgumentError
        If a spectrum is missing, the ranks differ, or an eigenvalue is undefined.

    References
    ----------
    Redman, W. T. et al. (2024). Identifying equivalent training dynamics. NeurIPS. arXiv:2302.09160
    """
    spectra = [_spectrum(side, "generator") for side in (a, b)]
    sizes = [len(spectrum) for spectrum in spectra]
    if sizes[0] != sizes[1]:
        raise ArgumentError(f"got spectra of {sizes[0]} and {sizes[1]} generators, expected the same rank of both")
    if np.isnan(spectra).any():
        raise ArgumentError("got generators that are undefined (NaN), expected finite ones; use a lower rank")
    distance, match = matched(*spectra)
    size = float(np.mean(np.abs(spectra)))
    plain, _ = matched(*[_spectrum(side, "eigenvalue") for side in (a, b)])
    values = {
        "generator_distance": (distance, "1/ms", "mean distance of matched generators"),
        "generator_distance_relative": (distance / size if size else np.nan, "1", "that over their mean modulus"),
        "step_distance": (plain, "1", "mean distance of eigenvalues of one step, which depends on the steps"),
    }
    variables = {
        name: xr.Variable((), value, {"units": units, "long_name": text})
        for name, (value, units, text) in values.items()
    }
    variables["match"] = xr.Variable("generator", match, {"units": "1", "long_name": "partner in the second spectrum"})
    facts = {f"{key}_{side}": str(data.attrs.get(key, "")) for side, data in (("a", a), ("b", b)) for key in KEPT}
    return xr.Dataset(
        variables,
        coords={"generator": np.arange(sizes[0])},
        attrs={
            "measure": "generator_distance",
            "orientation": "distance",
            "rank": sizes[0],
            **facts,
            "cortexres_provenance": provenance(measure="generator_distance", **facts),
        },
    )


def matched(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the least mean distance of as many complex numbers, and the index in `b` of each one's partner."""
    costs = np.abs(a[:, None] - b[None, :])
    rows, columns = linear_sum_assignment(costs)
    return float(costs[rows, columns].mean()), columns


def _spectrum(data: xr.Dataset, kind: str) -> np.ndarray:
    names = (f"{kind}_real", f"{kind}_imag")
    if not set(names) <= set(data.data_vars):
        raise ArgumentError(
            f"got {sorted(map(str, data.data_vars))}, expected {names[0]} and {names[1]}: the result of"
            " generators(data, rank=...)"
        )
    values: np.ndarray = data[names[0]].values + 1j * data[names[1]].values
    return values
