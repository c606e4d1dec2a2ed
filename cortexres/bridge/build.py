"""From a circuit's definition to its residual network."""

from __future__ import annotations

import math
import warnings

from cortexres.bridge.network import CircuitNetwork
from cortexres.bridge.validity import ValidityWarning, cautions, undescribed, validity
from cortexres.definitions import Circuit, unit_coordinates
from cortexres.errors import ArgumentError, ValidityError
from cortexres.meanfield import mean_field


def residual_network(
    circuit: Circuit, *, dt_ms: float = 5.0, duration_ms: float = 200.0, check: bool = True
) -> CircuitNetwork:
    """The weight-shared residual network that the mean field of `circuit` is; nothing is fitted or simulated.

    Parameters
    ----------
    circuit : Circuit
        The definition.
    dt_ms : float
        Time that one block stands for.
    duration_ms : float
        Time that the network stands for: ``duration_ms / dt_ms`` blocks.
    check : bool
        Refuse a circuit outside the regime in which the mean field predicts it.

    Raises
    ------
    ValidityError
        If `check` and `validity(circuit)` gives reasons, or the circuit has parts that no block describes; all are
        named.
    ArgumentError
        If the duration is not a whole number of blocks.

    Warns
    -----
    ValidityWarning
        Where the circuit is predicted, but less well than most.

    References
    ----------
    Fourcaud & Brunel (2002), doi:10.1162/089976602320264015; Richardson (2007), doi:10.1103/PhysRevE.76.021919.
    """
    steps = _steps(dt_ms, duration_ms)
    if check:
        reasons = validity(circuit)
        if reasons:
            raise ValidityError(
                f"circuit {circuit.name!r} is outside the regime that its mean field predicts: {'; '.join(reasons)} "
                "(check=False builds the network all the same)"
            )
        for caution in cautions(circuit):
            warnings.warn(caution, ValidityWarning, stacklevel=2)
    missing = undescribed(circuit)
    if missing:
        raise ValidityError(f"circuit {circuit.name!r} has no residual network: {'; '.join(missing)}")
    if circuit.drive is None or circuit.drive.front_end is None:
        raise ArgumentError(f"circuit {circuit.name!r} has no front end, expected [drive.front_end]: add one")
    return CircuitNetwork(
        mean_field(circuit),
        front_end=circuit.drive.front_end,
        unit_coords=unit_coordinates(circuit),
        dt_ms=dt_ms,
        steps=steps,
        name=circuit.name,
        circuit=circuit,
    )


def _steps(dt_ms: float, duration_ms: float) -> int:
    usable = math.isfinite(dt_ms) and math.isfinite(duration_ms) and 0.0 < dt_ms <= duration_ms
    steps = round(duration_ms / dt_ms) if usable else 0
    if not usable or abs(steps * dt_ms - duration_ms) > 1e-6 * duration_ms:
        raise ArgumentError(
            f"got blocks of {dt_ms:g} ms in {duration_ms:g} ms, expected a whole number of blocks longer than 0: "
            "change dt_ms or duration_ms"
        )
    return steps
