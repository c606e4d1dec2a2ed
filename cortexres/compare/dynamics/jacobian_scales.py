"""Time scales of Jacobians: how fast a network's states decay along each eigenvector, in ms."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.errors import ArgumentError
from cortexres.provenance import provenance

# |lambda| this close to 1 neither decays nor grows.
NEUTRAL = 1e-12


def jacobian_scales(spectra: xr.Dataset, *, step_ms: float) -> xr.Dataset:
    """Return time scales of the eigenvalues of Jacobians of steps, as the network runs and as its circuit would.

    Parameters
    ----------
    spectra : xarray.Dataset
        ``eigenvalue_real`` and ``eigenvalue_imag`` of one step, over any dims: from `diagnostics.jacobian_spectra`
        or `generators`.
    step_ms : float
        Time of one step in ms (for `generators`, its attribute of this name); 1 counts in blocks.

    Returns
    -------
    xarray.Dataset
        Over the dims of the eigenvalues, in ms:

        - ``decay_ms``, -h / ln|lambda|: in which a perturbation falls to 1/e from block to block. Below 0 where it
          grows; NaN where it does neither, or where lambda is NaN; 0 where lambda is.
        - ``generator_ms``, h / (1 - Re lambda): the same of the circuit that this network follows by Euler's method.
          Both agree for small steps; a leak of 1/tau gives tau in the second at any step. Of a brain's `generators`,
          whose steps are not Euler's, it is the first.
        - ``period_ms``, 2 pi h / |angle of lambda|; NaN where lambda is above 0, and nothing turns.

    Raises
    ------
    ArgumentError
        If there are no eigenvalues, or the step is not positive.
    """
    if not {"eigenvalue_real", "eigenvalue_imag"} <= set(spectra.data_vars):
        raise ArgumentError(
            f"got {sorted(map(str, spectra.data_vars))}, expected eigenvalue_real and eigenvalue_imag; make them with"
            " diagnostics.jacobian_spectra"
        )
    if not 0 < step_ms < np.inf:
        raise ArgumentError(f"got step_ms={step_ms}, expected the time of a step in ms, above 0")
    dims = spectra["eigenvalue_real"].dims
    values = np.asarray(spectra["eigenvalue_real"].values + 1j * spectra["eigenvalue_imag"].values)
    of_brain = spectra.attrs.get("axis") == "time"
    columns = {
        "decay_ms": (_decay(values, step_ms), "time in which a perturbation falls to 1/e, as the network runs"),
        "generator_ms": ((_decay if of_brain else _generator)(values, step_ms), "the same of the circuit behind"),
        "period_ms": (_period(values, step_ms), "period of the turn"),
    }
    undefined = {
        "decay_ms": "where the modulus is 1, and a perturbation stays, or there is no eigenvalue",
        "generator_ms": "where the real part is 1, and a perturbation stays, or there is no eigenvalue",
        "period_ms": "where the eigenvalue is real and not below 0, and nothing turns, or there is no eigenvalue",
    }
    variables = {}
    for name, (column, text) in columns.items():
        missing = undefined[name] if np.isnan(column).any() else ""
        variables[name] = xr.Variable(dims, column, {"units": "ms", "long_name": text, "undefined": missing})
    facts = {"step_ms": step_ms, "model": str(spectra.attrs.get("model", ""))}
    attrs = {**facts, "cortexres_provenance": provenance(measure="jacobian_scales", **facts)}
    coords = {str(name): c.variable for name, c in spectra.coords.items() if set(c.dims) <= set(dims)}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _decay(values: np.ndarray, step_ms: float) -> np.ndarray:
    modulus = np.abs(values)
    moving = (np.abs(modulus - 1) > NEUTRAL) & (modulus > 0)
    logs = np.log(modulus, out=np.full(modulus.shape, np.nan), where=moving)
    return np.where(modulus == 0, 0.0, -step_ms / logs)


def _generator(values: np.ndarray, step_ms: float) -> np.ndarray:
    rate = 1 - values.real
    return step_ms / np.where(np.abs(rate) > NEUTRAL, rate, np.nan)


def _period(values: np.ndarray, step_ms: float) -> np.ndarray:
    angles = np.abs(np.angle(values))
    return 2 * np.pi * step_ms / np.where(angles > NEUTRAL, angles, np.nan)
