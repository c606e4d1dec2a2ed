"""Linear systems of known spectrum, seen as a recording in bins and as a residual network, for tests of dynamics."""

from __future__ import annotations

import numpy as np
import xarray as xr
from compare_synthetic import network
from scipy.linalg import block_diag, expm

ROTATING = (-0.05 + 0.3j, -0.1 + 0.8j, -0.2, -0.4)
"""Eigenvalues in 1/ms, one of each pair: six dimensions."""
RELAXING = (-0.05, -0.1, -0.2, -0.3, -0.4, -0.6)


def operator(eigenvalues: tuple[complex, ...], rng: np.random.Generator) -> np.ndarray:
    """Return a real matrix with these eigenvalues (and their conjugates), not normal, in 1/ms."""
    parts = [
        np.array([[z.real, -z.imag], [z.imag, z.real]]) if np.imag(z) else np.array([[np.real(z)]])
        for z in map(complex, eigenvalues)
    ]
    diagonal = block_diag(*parts)
    size = len(diagonal)
    turn = np.linalg.qr(rng.standard_normal((size, size)))[0] @ np.diag(np.linspace(0.7, 1.4, size))
    matrix: np.ndarray = turn @ diagonal @ np.linalg.inv(turn)
    return matrix


def full_spectrum(eigenvalues: tuple[complex, ...]) -> np.ndarray:
    """Return the eigenvalues with the conjugate of each that is not real."""
    pairs = [[z, z.conjugate()] if np.imag(z) else [z] for z in map(complex, eigenvalues)]
    return np.concatenate(pairs)


def _starts(size: int, stimuli: int) -> tuple[np.ndarray, np.ndarray]:
    """Return start and steady state (size, stimulus): the same for every way of looking at the system."""
    rng = np.random.default_rng(77)
    return rng.standard_normal((size, stimuli)), 3 * rng.standard_normal((size, stimuli))


def recorded(
    matrix: np.ndarray,
    *,
    dt: float,
    bins: int,
    units: int = 30,
    stimuli: int = 8,
    trials: int = 1,
    sd: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    """Return the system under a constant input per stimulus, as bin means of `units` rates that are mixed at random."""
    rng = np.random.default_rng(seed)
    size = len(matrix)
    start, steady = _starts(size, stimuli)
    step = expm(matrix * dt)
    bin_mean = np.linalg.solve(matrix, step - np.eye(size)) / dt
    mix = rng.standard_normal((size, units))
    rates = []
    state = start - steady
    for _ in range(bins):
        rates.append((bin_mean @ state + steady).T @ mix)
        state = step @ state
    signal = 500.0 + np.stack(rates, axis=1)
    response = signal[:, None] + sd * rng.standard_normal((stimuli, trials, bins, units))
    return xr.Dataset(
        {"response": (("stimulus", "trial", "time", "unit"), response, {"units": "Hz"})},
        coords={
            "stimulus": np.arange(stimuli),
            "trial": np.arange(trials),
            "time": ("time", (np.arange(bins) + 0.5) * dt, {"units": "ms", "bin_ms": dt}),
            "unit": np.arange(units),
            "population": ("unit", ["E"] * units),
        },
        attrs={"model": "linear circuit"},
    )


def unrolled(
    matrix: np.ndarray, *, h: float, blocks: int, units: int = 30, stimuli: int = 8, seed: int = 5, timed: bool = True
) -> xr.Dataset:
    """Return the system's residual network: each block adds h times the generator's flow."""
    size = len(matrix)
    start, steady = _starts(size, stimuli)
    mix = np.random.default_rng(seed).standard_normal((size, units))
    state, states = start, [start.T @ mix]
    for _ in range(blocks):
        state = state + h * matrix @ (state - steady)
        states.append(state.T @ mix)
    return network(np.stack(states, axis=1), dt_ms=h if timed else None)
