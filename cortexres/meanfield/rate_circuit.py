"""Rate circuits at rest under a constant drive: rates, what their input is made of, and how fast they return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from cortexres.definitions import Circuit, driven_units, unit_drive
from cortexres.errors import ArgumentError, ValidityError
from cortexres.rate_equations import RateEquations, rate_equations

Array = NDArray[np.float64]

#: Relaxation ends where no state changes by more than this, in its own unit per time constant.
_AT_REST = 1e-6
_CHUNK_TAUS = 50.0  # time constants per piece of relaxation
_CHUNKS = 60
_NEWTON_STEPS = 30


@dataclass(frozen=True)
class RateFixedPoint:
    """A state at which nothing changes.

    Attributes
    ----------
    state, rates : array (`unit`,)
        State (see `cortexres.rate_equations`) and rate in Hz.
    feedforward, excitatory, inhibitory : array (`unit`,)
        Input components in the model's unit; the constant input is in none of them.
    eigenvalues_per_ms : array of complex (`unit`,)
        Of the Jacobian there, largest real part first.
    residual : float
        Largest change of a state left, per time constant.
    """

    state: Array
    rates: Array
    feedforward: Array
    excitatory: Array
    inhibitory: Array
    eigenvalues_per_ms: NDArray[np.complex128]
    residual: float

    @property
    def stable(self) -> bool:
        """True where every perturbation decays."""
        return bool(self.eigenvalues_per_ms[0].real < 0)

    @property
    def slowest_ms(self) -> float:
        """Time constant of the slowest decay; negative where the fixed point is unstable."""
        return float(-1.0 / self.eigenvalues_per_ms[0].real)

    @property
    def frequency_hz(self) -> float:
        """Frequency at which the slowest mode turns."""
        return float(abs(self.eigenvalues_per_ms[0].imag) / (2e-3 * np.pi))


def rate_fixed_point(circuit: Circuit, *, drive: ArrayLike = 0.0, start: ArrayLike | None = None) -> RateFixedPoint:
    """The fixed point that a rate circuit relaxes to from `start`, without noise, polished by Newton's method.

    Parameters
    ----------
    circuit : Circuit
        Of rates.
    drive : array_like (channel,) or float
        Constant drive of each channel, or of all, in the unit of the circuit's drive.
    start : array_like (`unit`,) or None
        State from which to relax: which of several fixed points is found depends on it. By default the circuit's own.

    Raises
    ------
    ArgumentError
        If `drive` or `start` have other lengths than the circuit.
    DefinitionError
        If the circuit is not one of rates.
    ValidityError
        If the circuit runs away or does not come to rest.
    """
    equations = rate_equations(circuit)
    external = _external(circuit, equations, drive)
    first = equations.start if start is None else np.asarray(start, dtype=np.float64)
    if first.shape != equations.start.shape:
        raise ArgumentError(f"start has shape {first.shape}, expected ({len(equations.start)},), one state per unit")
    state = _polished(equations, _relaxed(circuit, equations, first, external), external)
    parts = equations.components(state, external)
    return RateFixedPoint(
        state=state,
        rates=equations.rates(state, external),
        feedforward=parts.feedforward,
        excitatory=parts.excitatory,
        inhibitory=parts.inhibitory,
        eigenvalues_per_ms=_eigenvalues(equations.jacobian(state, external)),
        residual=_change(equations, state, external),
    )


def rate_jacobian(circuit: Circuit, state: ArrayLike, *, drive: ArrayLike = 0.0) -> Array:
    """The Jacobian of a rate circuit at a state, (target, source) in 1/ms; arguments as in `rate_fixed_point`."""
    equations = rate_equations(circuit)
    return equations.jacobian(np.asarray(state, dtype=np.float64), _external(circuit, equations, drive))


def _external(circuit: Circuit, equations: RateEquations, drive: ArrayLike) -> Array:
    channels = driven_units(circuit).shape[1]
    try:
        values = np.broadcast_to(np.asarray(drive, dtype=np.float64), (channels,))
    except ValueError as error:
        raise ArgumentError(
            f"drive has shape {np.shape(drive)}, expected ({channels},), one value per channel of {circuit.name}"
        ) from error
    return np.asarray(unit_drive(circuit, values) * equations.drive_scale)


def _change(equations: RateEquations, state: Array, external: Array) -> float:
    return float(np.max(np.abs(equations.derivative(state, external) * equations.tau_ms)))


def _relaxed(circuit: Circuit, equations: RateEquations, state: Array, external: Array) -> Array:
    """The state after as many pieces of time as it takes to come to rest."""
    weights, limit = equations.weights, _AT_REST
    span = _CHUNK_TAUS * float(equations.tau_ms.max())
    for _ in range(_CHUNKS):
        with np.errstate(over="ignore", invalid="ignore"):
            solved = solve_ivp(
                lambda t, y: equations.derivative(y, external, weights),
                (0.0, span),
                state,
                method="LSODA",
                jac=lambda t, y: equations.jacobian(y, external),
                t_eval=[span],
                rtol=1e-8,
                atol=1e-10,
            )
        if not solved.success or not np.isfinite(solved.y).all() or np.abs(solved.y).max() > 1e9:
            break
        state = solved.y[:, -1]
        if _change(equations, state, external) < limit * max(1.0, float(np.abs(state).max())):
            return np.asarray(state, dtype=np.float64)
    raise ValidityError(
        f"the rates of circuit {circuit.name} do not come to rest within {_CHUNKS * span:g} ms: it runs away or"
        " oscillates; give it a weaker drive or weaker recurrence, or another start"
    )


def _polished(equations: RateEquations, state: Array, external: Array) -> Array:
    """Newton's steps for as long as they come closer."""
    best, left = state, _change(equations, state, external)
    for _ in range(_NEWTON_STEPS):
        slope = equations.jacobian(best, external)
        try:
            following = best - np.linalg.solve(slope, equations.derivative(best, external))
        except np.linalg.LinAlgError:  # a line of fixed points: relaxation has found one of them
            break
        change = _change(equations, following, external)
        if not change < left:
            break
        best, left = following, change
    return best


def _eigenvalues(jacobian: Array) -> NDArray[np.complex128]:
    values = np.linalg.eigvals(jacobian).astype(np.complex128)
    return np.asarray(values[np.argsort(-values.real)])
