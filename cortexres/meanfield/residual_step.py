"""How far one block of the residual network r + a (phi(r) - r) may step without overshooting its fixed point."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cortexres.meanfield.fixed_point import FixedPoint
from cortexres.meanfield.moments import MeanField
from cortexres.meanfield.stability import effective_connectivity

Array = NDArray[np.float64]


def total_connectivity(field: MeanField, point: FixedPoint) -> Array:
    """Change of each unit's rate per change of each source's, (target, source): all pathways, mean and variance.

    It is the Jacobian of the transfer functions at the fixed point, the shift by coloured noise being held.
    """
    return sum(effective_connectivity(field, point), np.zeros((field.units, field.units)))


def largest_stable_step(connectivity: ArrayLike) -> float:
    """Largest step a for which ``r + a (phi(r) - r)`` returns to the fixed point, from `total_connectivity` there.

    In units of the time constant of the rates. Each eigenvalue l of the connectivity is multiplied by
    ``1 + a (l - 1)`` per block, so that ``a < 2 Re(1 - l) / |1 - l|^2`` is needed of all. 0 where the fixed point is
    unstable for any step.

    Parameters
    ----------
    connectivity : array_like of shape (unit, unit)
        Jacobian of the transfer functions.
    """
    gap = 1.0 - np.linalg.eigvals(np.asarray(connectivity, dtype=np.float64))
    if np.any(gap.real <= 0.0):
        return 0.0
    return float(np.min(2.0 * gap.real / np.abs(gap) ** 2))


def iterate(field: MeanField, *, start: ArrayLike, step: float) -> Iterator[Array]:
    """Rates in Hz after each block ``r + step * (phi(r) - r)``, without end.

    Parameters
    ----------
    field : MeanField
        The circuit; see `MeanField.with_drive`.
    start : array_like of shape (unit,)
        Rates before the first block.
    step : float
        Length of a block in time constants of the rates; 1 is the plain iteration of the transfer functions.
    """
    rates = np.broadcast_to(np.asarray(start, dtype=np.float64), (field.units,))
    while True:
        rates = rates + step * (field.rate(field.moments(np.maximum(rates, 0.0))) - rates)
        yield rates
