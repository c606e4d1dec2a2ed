"""What mean-field theory says of a circuit, quantity by quantity; nothing is simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Circuit, first_units
from cortexres.definitions.targets import Setting
from cortexres.errors import DefinitionError
from cortexres.meanfield import (
    MeanField,
    fixed_point,
    iterate,
    largest_stable_step,
    mean_field,
    silencing,
    total_connectivity,
)
from cortexres.verify.settings import allow, number, text, whole

Measured = dict[str, float]

#: Settings of the theory itself, which every protocol takes.
_THEORY = ("noise", "weights")


def at_rest(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """The fixed point that is reached from silence.

    Settings: `noise` "coloured" or "white", `weights` "spread" or "equal" (random weights add to the variance or not).

    Returns
    -------
    dict of str to float
        ``rate.POP`` in Hz, ``mu.POP`` (mean input above the resting potential) and ``sigma.POP`` in mV, ``cv.POP`` of
        the intervals, ``gain.POP`` (of the rate by the mean input) in Hz / mV, for every population of cells (its mean
        over assemblies); ``eigenvalue.K.real`` and ``.imaginary`` (K from 1, by real part from below; one of each pair)
        of the effective connectivity W, ``singular_value.K`` (from above) of (1 - W)^-1, and ``largest_stable_step``.
    """
    allow(settings, _THEORY)
    field = _field(circuit, settings)
    point = fixed_point(field)
    cells = field.responsive
    connectivity = total_connectivity(field, point)[np.ix_(cells, cells)]
    # A drive is not part of the resting potential; a constant mean input is part of what arrives.
    rest = np.array([p.parameters.get("v_rest_mV", np.nan) for p in circuit.populations for _ in range(p.assemblies)])
    values = {
        "rate": point.rates,
        "mu": point.moments.mu - rest,
        "sigma": point.moments.sigma,
        "cv": field.cv(point.moments),
        "gain": field.gains(point.moments)[0],
    }
    found = {f"{name}.{pop}": v for name, array in values.items() for pop, v in _by_population(circuit, array)}
    found["largest_stable_step"] = largest_stable_step(connectivity)
    eigenvalues = sorted((z for z in np.linalg.eigvals(connectivity) if z.imag >= 0.0), key=lambda z: float(z.real))
    for k, value in enumerate(eigenvalues, start=1):
        found |= {f"eigenvalue.{k}.real": float(value.real), f"eigenvalue.{k}.imaginary": float(value.imag)}
    inverse = np.linalg.inv(np.eye(len(connectivity)) - connectivity)
    for k, value in enumerate(np.linalg.svd(inverse, compute_uv=False), start=1):
        found[f"singular_value.{k}"] = float(value)
    return found


def under_silencing(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """What of the response to a constant drive is feedforward, as in `cortexres.meanfield.silencing`.

    Settings: `drive_Hz` or `drive_mV`, and those of `at_rest`.

    Returns
    -------
    dict of str to float
        ``excitatory_share.POP``, ``amplification.POP``, ``net_ratio.POP``, ``rate_gain.POP`` and ``response.POP`` in
        Hz, as means over assemblies.
    """
    allow(settings, (*_THEORY, "drive_Hz", "drive_mV"))
    drive = number(settings, "drive_mV" if "drive_mV" in settings else "drive_Hz")
    found = silencing(circuit, drive, field=_field(circuit, settings))
    names = ("excitatory_share", "amplification", "net_ratio", "rate_gain", "response")
    means = found[list(names)].groupby("population").mean()
    populations = [str(name) for name in means["population"].values]
    return {f"{name}.{pop}": float(means[name].sel(population=pop)) for name in names for pop in populations}


def residual_iteration(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """The mean field as a residual network of blocks ``r + step (phi(r) - r)``, from rates near its fixed point.

    Settings: `step` (in time constants), `blocks` (2000), `start` (rates relative to the fixed point, 1.1), and those
    of `at_rest`.

    Returns
    -------
    dict of str to float
        ``converged``: 1 where all rates came to within 1e-10 Hz of the fixed point, else 0; ``blocks``: how many it
        took (NaN where it did not); ``largest_rate`` in Hz during the last tenth of the blocks.
    """
    allow(settings, (*_THEORY, "step", "blocks", "start"))
    field = _field(circuit, settings)
    rest = fixed_point(field).rates
    limit = whole(settings, "blocks", 2000)
    blocks = islice(iterate(field, start=number(settings, "start", 1.1) * rest, step=number(settings, "step")), limit)
    taken, late = float("nan"), 0.0
    for k, rates in enumerate(blocks, start=1):
        if np.isnan(taken) and float(np.max(np.abs(rates - rest))) < 1e-10:
            taken = float(k)
        if k > 0.9 * limit:
            late = max(late, float(np.max(rates)))
    return {"converged": float(not np.isnan(taken)), "blocks": taken, "largest_rate": late}


MEAN_FIELD_PROTOCOLS: dict[str, Callable[[Circuit, Mapping[str, Setting]], Measured]] = {
    "mean_field": at_rest,
    "mean_field_silencing": under_silencing,
    "residual_iteration": residual_iteration,
}


def _field(circuit: Circuit, settings: Mapping[str, Setting]) -> MeanField:
    noise, weights = text(settings, "noise", "coloured"), text(settings, "weights", "spread")
    for name, value, known in (("noise", noise, ("coloured", "white")), ("weights", weights, ("spread", "equal"))):
        if value not in known:
            raise DefinitionError(f"protocol setting {name} is {value!r}, expected one of {', '.join(known)}")
    return mean_field(circuit, noise="white" if noise == "white" else "coloured", weight_spread=weights == "spread")


def _by_population(circuit: Circuit, values: NDArray[np.float64]) -> Iterator[tuple[str, float]]:
    first = first_units(circuit)
    for p in circuit.populations:
        if p.neuron != "poisson":
            yield p.name, float(np.mean(values[first[p.name] : first[p.name] + p.assemblies]))
