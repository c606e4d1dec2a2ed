"""What of a response is feedforward and what is the circuit's own, as an experiment that silences the circuit asks."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cortexres.definitions import Circuit, unit_coordinates
from cortexres.errors import ArgumentError
from cortexres.meanfield.fixed_point import FixedPoint, fixed_point
from cortexres.meanfield.from_circuit import mean_field
from cortexres.meanfield.moments import MeanField
from cortexres.residual import decomposition

Array = NDArray[np.float64]

RATE_GAIN = "response above rest / response above rest with the recurrent input held as at rest"


def silencing(circuit: Circuit, channels: ArrayLike, *, field: MeanField | None = None) -> xr.Dataset:
    """The parts x, F_E and F_I of the response to a stimulus, from the mean field at rest and under the stimulus.

    Parameters
    ----------
    circuit : Circuit
        With a drive. What the stimulus adds to the mean input or the background of a unit, and what feedforward
        pathways bring it, is x; what recurrent (and feedback) pathways add is F.
    channels : array_like
        The drive of each channel (mV or Hz, as the circuit says), or one for all.
    field : MeanField, optional
        The circuit's, where it is not to be `mean_field` with its defaults.

    Returns
    -------
    Dataset with dim `unit`
        `feedforward` x, `recurrent_excitatory` F_E and `recurrent_inhibitory` F_I in mV, `response` and
        `response_without` in Hz (above rest; without: recurrent input held as it was at rest), and what
        `cortexres.residual.decomposition` makes of them. Poisson sources are left out.

    Raises
    ------
    ArgumentError
        If the circuit takes no drive, or has no fixed point that can be reached.
    ValidityError
        If the circuit has no mean field.

    Notes
    -----
    The rate gain is not that of `cortexres.circuits.silencing`, which cuts the recurrent input altogether: here the
    part of it that is there without a stimulus stays. The two agree where the circuit is silent at rest.

    References
    ----------
    Lien & Scanziani (2013), doi:10.1038/nn.3488, who silence the cortex around a thalamic response.
    """
    if circuit.drive is None:
        raise ArgumentError(f"circuit {circuit.name!r} has no drive, expected [drive]: add one, to respond to")
    resting = mean_field(circuit) if field is None else field
    driven = resting.with_drive(resting.drive(channels))
    before = _at_rest(fixed_point(resting), circuit)
    after = _at_rest(fixed_point(driven, start=before.rates), circuit)
    x, excitatory, inhibitory = _added(resting, driven, before.rates, after.rates)
    # Against the same sum of inputs at rest, so that units without feedforward input respond by 0 exactly.
    open_loop = driven.rate(driven.moments(after.rates, recurrent=before.rates)) - resting.rate(before.moments)
    parts = {
        "feedforward": (x, "mV", "feedforward input above rest"),
        "recurrent_excitatory": (excitatory, "mV", "recurrent excitatory input above rest"),
        "recurrent_inhibitory": (inhibitory, "mV", "recurrent inhibitory input above rest"),
        "response": (after.rates - before.rates, "Hz", "rate above rest"),
        "response_without": (open_loop, "Hz", "rate above rest, recurrent input held as at rest"),
    }
    found = xr.Dataset(
        {name: ("unit", values, {"units": unit, "long_name": text}) for name, (values, unit, text) in parts.items()},
        coords={name: ("unit", values) for name, values in unit_coordinates(circuit).items()},
    ).isel(unit=np.flatnonzero(~np.isnan(resting.tau_m)))
    return found.assign(decomposition(*(found[name] for name in parts), rate_gain=RATE_GAIN).data_vars)


def _at_rest(point: FixedPoint, circuit: Circuit) -> FixedPoint:
    if point.residual > 1e-6 * max(1.0, float(np.max(point.rates))):
        raise ArgumentError(
            f"the rates of circuit {circuit.name!r} come to no rest (they still change by {point.residual:.2g} Hz), "
            "expected a fixed point: use smaller weights or a smaller drive"
        )
    return point


def _added(resting: MeanField, driven: MeanField, before: Array, after: Array) -> tuple[Array, Array, Array]:
    """What the stimulus adds to the feedforward, recurrent excitatory and recurrent inhibitory input, in mV."""
    change = after - before
    x = driven.resting - resting.resting
    for old, new in zip(resting.backgrounds, driven.backgrounds, strict=True):
        x = x + new.mean * (new.rate - old.rate)
    recurrent = {True: np.zeros(resting.units), False: np.zeros(resting.units)}
    for path in resting.pathways:
        if path.feedforward:
            x = x + path.mean @ change
        else:
            recurrent[path.excitatory] = recurrent[path.excitatory] + path.mean @ change
    return x, recurrent[True], recurrent[False]
