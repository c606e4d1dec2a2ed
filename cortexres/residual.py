"""What a response x + F(x) is made of: the definitions, once, for theory, simulations and recordings alike.

x is the feedforward input of a unit, F_E and F_I what its recurrent excitation and inhibition add. Whether recurrence
"amplifies" depends on the space in which it is asked, so every number here says which it is in: in balanced circuits
F_E doubles or triples the excitatory current while F_E + F_I cancels x in the net current.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from cortexres.errors import ArgumentError

EXCITATORY, NET, RATE = "excitatory current", "net current", "rate"

#: Quantity -> the space it is in, its formula, and its long name.
DEFINITIONS: dict[str, tuple[str, str, str]] = {
    "excitatory_share": (EXCITATORY, "x / (x + F_E)", "feedforward share of excitation"),
    "amplification": (EXCITATORY, "(x + F_E) / x", "excitation over its feedforward part"),
    "net_ratio": (NET, "(F_E + F_I) / x", "net recurrent over feedforward input"),
    "rate_gain": (RATE, "response / response_without", "gain of the rate by recurrence"),
}


def decomposition(
    feedforward: ArrayLike | xr.DataArray,
    excitatory: ArrayLike | xr.DataArray,
    inhibitory: ArrayLike | xr.DataArray,
    response: ArrayLike | xr.DataArray | None = None,
    response_without: ArrayLike | xr.DataArray | None = None,
    *,
    rate_gain: str = DEFINITIONS["rate_gain"][1],
) -> xr.Dataset:
    """Excitatory share, amplification, net ratio and, where responses are given, the rate gain.

    Parameters
    ----------
    feedforward : array or DataArray
        x: the input that reaches a unit without its own circuit, in mV or any one unit of current.
    excitatory, inhibitory : array or DataArray
        F_E and F_I: what recurrent excitation and inhibition add, in the same unit. F_I keeps its sign, negative for
        inhibition. Where x is a change by the stimulus, so must these be.
    response, response_without : array or DataArray, optional
        Rate (above baseline, where x is) with recurrence and with the feedforward input alone; both or neither.
    rate_gain : str
        The formula of the rate gain, for its ``attrs["definition"]``: "without recurrence" has several meanings (its
        input cut, or held as at rest; all of it or a part), and their gains are different numbers.

    Returns
    -------
    Dataset
        `excitatory_share` f_E = x / (x + F_E), `amplification` 1 / f_E, `net_ratio` rho = (F_E + F_I) / x and
        `rate_gain` response / response_without, each with its space in ``attrs["space"]``. Arrays of one dim have the
        dim ``unit``. NaN where the quotient has no meaning: all but `rate_gain` where x = 0, `excitatory_share` where
        x + F_E = 0, `rate_gain` where `response_without` is 0. A share lies in 0..1 only where x and F_E have one
        sign.

    Raises
    ------
    ArgumentError
        If the arrays do not have one shape, or one response is given without the other.

    References
    ----------
    Lien & Scanziani (2013), Nat. Neurosci. 16:1315, doi:10.1038/nn.3488 (the share that experiments measure).
    """
    if (response is None) != (response_without is None):
        raise ArgumentError("one response is given without the other; give response and response_without, or neither")
    inputs = (_labelled(feedforward), _labelled(excitatory), _labelled(inhibitory))
    x, f_e, f_i = _of_one_shape(*inputs)
    quotients = {
        "excitatory_share": _ratio(x, x + f_e).where(x != 0.0),
        "amplification": _ratio(x + f_e, x),
        "net_ratio": _ratio(f_e + f_i, x),
    }
    if response is not None and response_without is not None:
        quotients["rate_gain"] = _ratio(*_of_one_shape(_labelled(response), _labelled(response_without)))
    # Data arrays bring the name and attributes of what they were, which the quotients are not.
    found = xr.Dataset({name: _described(name, values) for name, values in quotients.items()})
    if "rate_gain" in found:
        found["rate_gain"].attrs["definition"] = rate_gain
    return found


def _labelled(values: ArrayLike | xr.DataArray) -> xr.DataArray:
    if isinstance(values, xr.DataArray):
        return values.astype(np.float64)
    array = np.asarray(values, dtype=np.float64)
    return xr.DataArray(array, dims=("unit",) if array.ndim == 1 else None)


def _of_one_shape(*values: xr.DataArray) -> tuple[xr.DataArray, ...]:
    shapes = {(v.dims, v.shape) for v in values}
    if len(shapes) > 1:
        named = ", ".join(f"{dims} of sizes {shape}" for dims, shape in sorted(shapes, key=str))
        raise ArgumentError(f"arrays have dims {named}, expected the same for all; select or transpose them")
    try:
        return tuple(xr.align(*values, join="exact"))
    except ValueError as error:
        raise ArgumentError("arrays have different coordinates, expected the same for all; align them") from error


def _ratio(numerator: xr.DataArray, denominator: xr.DataArray) -> xr.DataArray:
    return numerator / denominator.where(denominator != 0.0)


def _described(name: str, values: xr.DataArray) -> xr.DataArray:
    space, formula, long_name = DEFINITIONS[name]
    attributes = {"units": "1", "space": space, "definition": formula, "long_name": long_name}
    return values.rename(name).drop_attrs(deep=False).assign_attrs(attributes)
