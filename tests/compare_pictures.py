"""A small nonlinear rate circuit, its recording with trial noise, and its Euler network: what pictures are drawn of."""

from __future__ import annotations

import numpy as np
import xarray as xr

STIMULI, TRIALS, UNITS, BLOCKS = 16, 12, 20, 12
TAU_MS, STEP_MS, BIN_MS, BINS = 20.0, 5.0, 5.0, 16


def circuit(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (unit, unit) and feedforward input (stimulus, unit) in Hz."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.9 / np.sqrt(UNITS), (UNITS, UNITS))
    return weights, rng.gamma(2.0, 10.0, (STIMULI, UNITS))


def rates(weights: np.ndarray, drive: np.ndarray, step_ms: float, steps: int) -> np.ndarray:
    """Return states (stimulus, step, unit) by Euler's rule; the state before each step, and the last."""
    state = np.full(drive.shape, 5.0)
    kept = [state]
    for _ in range(steps):
        state = state + step_ms / TAU_MS * (-state + np.maximum(drive + (state - 5.0) @ weights.T, 0.0))
        kept.append(state)
    return np.stack(kept, axis=1)


def brain(weights: np.ndarray, drive: np.ndarray, *, noise: float = 2.0, seed: int = 1) -> xr.Dataset:
    """Return a recording in bins of 5 ms, with one bin before the onset."""
    fine = rates(weights, drive, 0.5, int((BINS - 1) * BIN_MS / 0.5))
    binned = fine[:, :-1].reshape(STIMULI, BINS - 1, 10, UNITS).mean(axis=2)
    clean = np.concatenate([np.full((STIMULI, 1, UNITS), 5.0), binned], axis=1)
    noisy = clean[:, None] + noise * np.random.default_rng(seed).normal(size=(STIMULI, TRIALS, BINS, UNITS))
    time = -BIN_MS / 2 + BIN_MS * np.arange(BINS)
    coords = {
        "stimulus": np.arange(STIMULI),
        "trial": np.arange(TRIALS),
        "time": ("time", time, {"units": "ms", "bin_ms": BIN_MS}),
        "unit": np.arange(UNITS),
        "population": ("unit", ["E"] * UNITS),
        "name": ("unit", [f"E{k}" for k in range(UNITS)]),
        "label": ("stimulus", np.arange(STIMULI) % 4),
    }
    attrs = {"units": "Hz", "relative_to": "noise that is not clipped"}
    return xr.Dataset({"response": (("stimulus", "trial", "time", "unit"), noisy, attrs)}, coords)


def network(weights: np.ndarray, drive: np.ndarray, *, blocks: int = BLOCKS) -> xr.Dataset:
    """Return the states of the network whose block k is one Euler step of 5 ms."""
    states = rates(weights, drive, STEP_MS, blocks)
    data = {
        "response": (("stimulus", "block", "unit"), states, {"units": "Hz"}),
        "update": (("stimulus", "block", "unit"), np.diff(states, axis=1, prepend=states[:, :1]), {"units": "Hz"}),
    }
    coords = {
        "stimulus": np.arange(STIMULI),
        "block": np.arange(blocks + 1),
        "stage": ("block", np.zeros(blocks + 1, int)),
        "t_ms": ("block", STEP_MS * np.arange(blocks + 1), {"units": "ms"}),
        "unit": np.arange(UNITS),
        "name": ("unit", [f"E{k}" for k in range(UNITS)]),
        "label": ("stimulus", np.arange(STIMULI) % 4),
    }
    return xr.Dataset(data, coords)
