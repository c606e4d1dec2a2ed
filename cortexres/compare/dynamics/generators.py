"""Generators of the dynamics: eigenvalues of what moves a state, per ms, whatever the step it is seen in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from cortexres.compare.dynamics.trajectories import Trajectories, trajectories
from cortexres.compare.windows import Window
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance

# Variances below this share of the largest are rounding.
RESOLVED = 1e-12
# Both ends of the eigenvalues of noise scatter by some 5 to 10 % of their size.
MARGIN = 1.2


class Step(NamedTuple):
    """What moves states by one step."""

    operator: np.ndarray
    """(rank, rank)."""
    explained: float
    """Share of the moving variance in the components."""
    fit: float
    """Share of the variance of the next state that the operator predicts."""
    above_noise: float
    """Number of components that vary more than noise would; NaN with one trial."""


def generators(
    data: xr.Dataset,
    *,
    rank: int,
    step_ms: float | None = None,
    delays: int = 1,
    window: Window = (0.0, np.inf),
) -> xr.Dataset:
    """Return the eigenvalues of the generator that moves a brain's or a network's states: one scale for both.

    The states of each stimulus are taken as ``r' = A r + input``, the input constant since onset and any for each
    stimulus. The operator of one step, on the first principal components of what moves, is found by regression of
    each state on the one before (dynamic mode decomposition), the mean over steps taken off per stimulus, which
    takes the input with it. Its eigenvalues lambda depend on the step. So they are turned into those of A:

    - of a brain, seen every dt: log(lambda) / dt, as a linear system seen at two times;
    - of a network, whose block adds h A r to r: (lambda - 1) / h.

    A linear circuit, its recording in bins of any width, and its residual network of any step then have the same
    generator, which plain operators have not.

    Trial noise in the earlier state draws lambda towards 0, as in any regression on a noisy quantity. With 2 trials
    or more each state is therefore regressed on *other* trials' earlier state, all pairs of trials averaged; noise
    that is independent between trials cancels. With one trial of a brain it does not: ``attrs["bias"]`` says so.

    Parameters
    ----------
    data : xarray.Dataset
        Brain Dataset (bins at equal steps) or network Dataset (blocks of one stage).
    rank : int
        Number of principal components, and of eigenvalues. Compare both sides at the same rank. Below the number of
        dimensions that move, the eigenvalues depend on what the units happen to mix into the first components; above
        it, those of noise are added, which decay fast or even grow. Only ranks above the number of components whose
        estimated variance is positive are refused, and noise alone makes half of them so: see
        ``components_above_noise``, and at which rank `generator_floor` jumps (where three components moved, from .005
        at rank 3 to .6 at rank 4).
    step_ms : float, optional
        Time of a block, for a network without ``t_ms``.
    delays : int
        So many successive states are stacked into one, where fewer units are seen than there are dimensions.
    window : tuple of float
        Bins of a brain that are taken, in ms.

    Returns
    -------
    xarray.Dataset
        Over ``generator`` (0..rank - 1, slowest decay first): ``generator_real``, ``generator_imag`` (1/ms; the
        rate of growth, and 2 pi times the frequency), ``eigenvalue_real``, ``eigenvalue_imag`` of one step;
        ``variance_explained`` (), the share of the moving variance that the components hold, and ``fit`` (), the
        share of the variance of the next state that the operator predicts (NaN where that does not vary), both of
        the signal where there are trials, and then, as unbiased estimates, at times above 1;
        ``components_above_noise`` (), how many components vary more than noise that is independent from bin to bin
        would, as far as the most negative estimate of a variance tells its size (with few units often one too many; NaN
        with one trial, which does not tell). A frequency above half the sampling rate comes out folded below it; an
        eigenvalue of 0 or below tells of noise or of too coarse a step, and one of 0 has no logarithm (NaN).

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If steps are not equal, an option is out of range, or fewer components than `rank` move.

    References
    ----------
    Schmid, P. J. (2010). Dynamic mode decomposition of numerical and experimental data. Journal of Fluid Mechanics
    656, 5-28. doi:10.1017/S0022112010001217
    Ostrow, M. et al. (2023). Beyond geometry: comparing the temporal structure of computation in neural circuits
    with dynamical similarity analysis. NeurIPS. arXiv:2306.10168
    """
    found = trajectories(data, step_ms=step_ms, window=window)
    states = _delayed(found.states, delays)
    if rank < 1 or states.shape[2] < rank + 2:
        raise ArgumentError(
            f"got rank={rank} and {states.shape[2]} states in a row, expected a rank of at least 1 and 2 states more"
            " than that; take more time or blocks, fewer delays or a lower rank"
        )
    step = operator_of_a_step(states, rank)
    eigenvalues = np.linalg.eigvals(step.operator)
    rates = _generator(eigenvalues, found)
    order = np.lexsort((rates.imag, -np.round(rates.real, 12)))
    return _dataset(data, found, eigenvalues[order], rates[order], step, rank=rank, delays=delays)


def operator_of_a_step(states: np.ndarray, rank: int) -> Step:
    """Return the operator from a state to the next, in principal components, and how far to trust it.

    Parameters
    ----------
    states : numpy.ndarray
        (stimulus, trial, step, unit). With several trials, products are between different ones only.
    rank : int
        Number of principal components, of the states that have a next one.

    Raises
    ------
    ArgumentError
        If fewer components than `rank` have a variance above 0.
    """
    states = _compact(states)
    before, after = (part - part.mean(axis=2, keepdims=True) for part in (states[:, :, :-1], states[:, :, 1:]))
    values, vectors = np.linalg.eigh(_between_trials(before, before))
    values, vectors = values[::-1], vectors[:, ::-1]
    moving = int(np.sum(values > RESOLVED * max(values[0], 0.0)))
    if moving < rank:
        raise ArgumentError(
            f"got rank={rank}, expected at most {moving}: no more components vary over time beyond trial noise"
        )
    basis = vectors[:, :rank]
    before, after = before @ basis, after @ basis
    cross = _between_trials(after, before)
    operator: np.ndarray = cross / values[:rank]
    total = np.trace(_between_trials(after, after))
    fit = float(np.sum(cross * operator) / total) if total > 0 else np.nan
    samples = before.shape[0] * (before.shape[2] - 1)
    above = _above_noise(values, samples) if before.shape[1] > 1 else np.nan
    return Step(operator, float(values[:rank].sum() / values.sum()), fit, above)


def _above_noise(values: np.ndarray, samples: int) -> float:
    """Return how many eigenvalues of a covariance between trials, falling, are above those of independent noise.

    With g units per sample those of noise lie between (1 - sqrt g)^2 - 1 and (1 + sqrt g)^2 - 1 of its variance, which
    is unknown; the lower end is seen, and the upper is (2 + sqrt g) / (2 - sqrt g) times as far from 0.

    References
    ----------
    Marchenko, V. A., Pastur, L. A. (1967). Distribution of eigenvalues for some sets of random matrices. Mathematics of
    the USSR-Sbornik 1, 457-483. doi:10.1070/SM1967v001n04ABEH001994
    """
    root = min(values.size / samples, 1.0) ** 0.5
    limit = max(-values[-1] * MARGIN * (2 + root) / (2 - root), RESOLVED * values[0])
    return float(np.sum(values > limit))


def _compact(states: np.ndarray) -> np.ndarray:
    """Return states in the directions that their trial mean spans, where there are more units than states."""
    stimuli, _, steps, units = states.shape
    if units <= stimuli * steps:
        return states
    mean = states.mean(axis=1)
    mean = (mean - mean.mean(axis=1, keepdims=True)).reshape(-1, units)
    basis = np.linalg.svd(mean, full_matrices=False)[2]
    compact: np.ndarray = states @ basis.T
    return compact


def _between_trials(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the sum over stimulus and step of a' b (unit, unit), the mean over pairs of different trials.

    With one trial, of that trial. The sum over all pairs is that of the sums; those of one trial are taken off.
    """
    trials, units = a.shape[1], a.shape[3]
    same: np.ndarray = a.reshape(-1, units).T @ b.reshape(-1, units)
    if trials == 1:
        return same
    first, second = (part.sum(axis=1).reshape(-1, units) for part in (a, b))
    product: np.ndarray = (first.T @ second - same) / (trials * (trials - 1))
    return product


def _delayed(states: np.ndarray, delays: int) -> np.ndarray:
    """Return states (stimulus, trial, step - delays + 1, delays * unit), each with those before it."""
    steps = states.shape[2] - delays + 1
    if delays < 1 or steps < 3:
        raise ArgumentError(f"got delays={delays} for {states.shape[2]} states, expected 1 or more that leave 3 states")
    return np.concatenate([states[:, :, k : k + steps] for k in range(delays)], axis=-1)


def _generator(eigenvalues: np.ndarray, found: Trajectories) -> np.ndarray:
    """Return the eigenvalues of the generator, 1/ms."""
    values = eigenvalues.astype(complex)
    if found.axis == "block":
        return (values - 1) / found.step_ms
    logs = np.full(values.shape, complex(np.nan, np.nan))
    np.log(values, out=logs, where=np.abs(values) > RESOLVED)
    return logs / found.step_ms


def _dataset(
    data: xr.Dataset,
    found: Trajectories,
    eigenvalues: np.ndarray,
    rates: np.ndarray,
    step: Step,
    *,
    rank: int,
    delays: int,
) -> xr.Dataset:
    trials = found.states.shape[1]
    noisy = found.axis == "time" and trials == 1
    form = "log(lambda) / dt" if found.axis == "time" else "(lambda - 1) / h"
    undefined = "an eigenvalue of 0 has no logarithm" if np.isnan(rates).any() else ""
    columns = {
        "generator_real": (rates.real, "1/ms", "rate of growth along an eigenvector of the generator"),
        "generator_imag": (rates.imag, "1/ms", "angular frequency along an eigenvector of the generator"),
        "eigenvalue_real": (eigenvalues.real, "1", "real part of the eigenvalue of one step"),
        "eigenvalue_imag": (eigenvalues.imag, "1", "imaginary part of the eigenvalue of one step"),
    }
    variables = {
        name: xr.Variable(("generator",), values, {"units": units, "long_name": text, "undefined": undefined})
        for name, (values, units, text) in columns.items()
    }
    shares = {
        "variance_explained": (step.explained, "share of the moving variance in the components"),
        "fit": (step.fit, "share of the variance of the next state that the operator predicts"),
        "components_above_noise": (step.above_noise, "number of components that vary more than noise would"),
    }
    variables |= {name: xr.Variable((), v, {"units": "1", "long_name": text}) for name, (v, text) in shares.items()}
    if np.isnan(step.above_noise):
        variables["components_above_noise"].attrs["undefined"] = "one trial does not tell what is noise"
    facts: dict[str, str | int | float] = {
        "axis": found.axis,
        "form": form,
        "step_ms": found.step_ms,
        "rank": rank,
        "delays": delays,
        "n_stimuli": found.states.shape[0],
        "n_trials": trials,
        "bias": "one trial: its noise draws the eigenvalues of a step towards 0" if noisy else "",
    }
    model = str(data.attrs.get("model", ""))
    return xr.Dataset(
        variables,
        coords={"generator": np.arange(rank)},
        attrs={"model": model, **facts, "cortexres_provenance": provenance(measure="generators", **facts)},
    )
