"""Iterative estimation, measured alike on both sides: do steps refine one estimate, in one direction, ever less?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from cortexres.compare.jackknife import interval, kept
from cortexres.compare.pairing import float_values
from cortexres.compare.updates.lesion_effects import network_changes
from cortexres.compare.updates.trial_products import product, root
from cortexres.errors import ArgumentError
from cortexres.schema import check_brain, check_network

GROUPS = 40
STEPS = {
    "mean_squared_error": "mean over stimuli and units of (state - end)^2, over that of the first step",
    "bias": "mean over units of (mean error over stimuli)^2, less what few stimuli add, over the same",
    "variance": "mean over units of the variance of the error over stimuli, over the same",
    "cosine": "cosine of the step's update with the next, over stimuli and units",
    "contraction": "size of the next update over that of the step's",
    "relative_size": "size of the step's update over that of the state before it",
}
INDICES = {
    "convergence": "mean squared error over the steps before the end, over the first; 1 where nothing converges",
    "divergence": "mean squared error over the steps after the end, over the first; 0 where the end is kept",
    "decay": "contraction from each update to the next, over all: root of the quotient of their summed squares",
}


def iteration_indices(activity: xr.Dataset, *, end: float | None = None) -> xr.Dataset:
    """Return indices of iterative estimation of a brain over its time bins, or of a network over its blocks.

    In the view of Greff et al. the states of a stage estimate one thing, of which the last, h_K, is the best estimate
    at hand: the error e_k = h_k - h_K has mean 0 over stimuli, and a variance that falls with k. In that of
    Jastrzebski et al. later blocks refine: their updates are small against the state and alike in direction.

    All are made of products of two states. In a brain these are products of *different* trials, averaged over all
    pairs of trials: no trial noise is in their expectation, also where neighbouring updates share a noisy bin, which
    would make their cosine about -1/2 for noise alone. The estimates scatter the more, and a square may come out
    negative; what needs its root is NaN then.

    Parameters
    ----------
    activity : xarray.Dataset
        A brain Dataset (steps are time bins since onset; 2 trials or more) or a network Dataset (steps are blocks).
    end : float, optional
        Time in ms, or block, of the estimate that the others are measured against; the last where it is left out.
        What lies after it tells `divergence`: for a network record it with more steps than it was made for.

    Returns
    -------
    Dataset
        Over ``time`` or ``block``: ``mean_squared_error`` = ``bias`` + ``variance``, each over the mean squared error
        of the first step; ``cosine`` of successive updates, ``contraction`` (their sizes), ``relative_size``
        |update| / |state|, with ``..._low`` and ``..._high``, 95 % jackknife intervals over stimuli. Without dims:
        ``convergence``, ``divergence`` and ``decay`` (per step; in a brain also ``decay_ms``, the time constant).

        `convergence` and `divergence` are of states. Lippl et al. name three indices of iterative convergence, of the
        errors of a readout; these here need no readout, so their values are not comparable with those. See
        `recurrence_index` for the third.

    Raises
    ------
    ArgumentError
        If `activity` is neither, has fewer than 3 steps up to the end, fewer than 2 stimuli or, as a brain, one trial.
    SchemaError
        If it does not keep its schema.

    References
    ----------
    Greff, K., Srivastava, R. K., Schmidhuber, J. (2017). Highway and residual networks learn unrolled iterative
    estimation. ICLR. arXiv:1612.07771
    Jastrzebski, S. et al. (2018). Residual connections encourage iterative inference. ICLR. arXiv:1710.04773
    Lippl, S., Peters, B., Kriegeskorte, N. (2024). Can neural networks benefit from objectives that encourage
    iterative convergent computations? PLoS ONE 19, e0293440. doi:10.1371/journal.pone.0293440
    """
    dim, states, steps = _states(activity)
    last = _end(steps, end, dim)
    n = states.shape[0]
    if last < 2 or n < 2:
        raise ArgumentError(
            f"got {n} stimuli and {last + 1} steps up to the end, expected at least 2 and 3: two updates to compare"
        )
    values = _curves(states, last)
    groups = min(n, GROUPS)
    left_out = [_curves(states[k], last) for k in kept(n, groups)] if n > 2 else []
    variables: dict[str, xr.Variable] = {}
    for name, text in STEPS.items():
        ends = np.full((2, len(steps)), np.nan)
        if left_out:
            ends = np.stack(interval(values[name], np.stack([other[name] for other in left_out])))
        few = "" if left_out else "two stimuli, of which none can be left out"
        for key, curve, what, why in (
            (name, values[name], text, ""),
            (f"{name}_low", ends[0], "lower end of the 95 % jackknife interval over stimuli", few),
            (f"{name}_high", ends[1], "upper end of the 95 % jackknife interval over stimuli", few),
        ):
            described = {"units": "1", "long_name": what, "undefined": why or _why(curve)}
            variables[key] = xr.Variable(dim, curve, described)
    update = np.diff(states, axis=2)
    variables |= _indices(values, product(update, update).sum(axis=(0, 2)), last, steps, dim)
    attrs = {
        "side": "brain" if dim == "time" else "network",
        "model": str(activity.attrs.get("model", "")),
        "end": float(steps[last]),
        "n_stimuli": n,
        "n_trials": states.shape[1],
    }
    return xr.Dataset(variables, coords={dim: activity[dim].variable[-len(steps) :]}, attrs=attrs)


def recurrence_index(network: xr.Dataset, lesioned: Mapping[int, xr.Dataset]) -> xr.Dataset:
    """Return how far deleting a block differs from stopping one block early: 0 where all blocks compute the same.

    Where one block is applied over and over, leaving one application out is the same as one application less, so the
    last state without block k is h_(K-1). Per deleted block: |h_K(without k) - h_(K-1)|^2 / |h_K - h_(K-1)|^2. It is 0
    of *every* tied network with a constant input, whatever that computes: it says that weights are shared in effect,
    not that this is a circuit.

    Parameters
    ----------
    network : xarray.Dataset
        Intact.
    lesioned : mapping of int to Dataset
        The network recorded without that block; its last state is used.

    Returns
    -------
    Dataset
        ``recurrence`` (block) of the deleted blocks and ``recurrence_mean``.

    Raises
    ------
    ArgumentError
        If there are no lesions, the intact network has fewer than two blocks, or a lesioned one other units.
    SchemaError
        If a Dataset does not keep the schema or has other stimuli.
    """
    check_network(network)
    if not lesioned or network.sizes["block"] < 2:
        raise ArgumentError(
            f"got {len(lesioned)} lesions and {network.sizes['block']} blocks, expected at least one lesion of a"
            " network of two or more"
        )
    changes, whole = network_changes(network, list(lesioned.values()))
    update = whole - float_values(network["response"])[:, -2]
    step = np.sum(update**2)
    values = np.sum((changes + update) ** 2, axis=(1, 2)) / (step if step > 0 else np.nan)
    undefined = "" if step > 0 else "the last block changes nothing"
    attrs = {"units": "1", "undefined": undefined, "long_name": "without the block, against one block less"}
    return xr.Dataset(
        {
            "recurrence": xr.Variable("block", values, attrs),
            "recurrence_mean": xr.Variable((), np.mean(values), attrs | {"long_name": "mean over deleted blocks"}),
        },
        coords={"block": list(lesioned)},
        attrs={"model": str(network.attrs.get("model", "")), "n_stimuli": network.sizes["stimulus"]},
    )


def _states(activity: xr.Dataset) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the dim of the steps, states (stimulus, trial, step, unit) and the steps."""
    if "time" in activity.dims:
        check_brain(activity)
        activity = activity.isel(time=activity["time"].values >= 0)
        if activity.sizes["trial"] < 2:
            raise ArgumentError("got a brain with one trial, expected two or more: products of different trials")
        return "time", float_values(activity["response"]), float_values(activity["time"])
    if "block" in activity.dims:
        check_network(activity)
        return "block", float_values(activity["response"])[:, None], float_values(activity["block"])
    raise ArgumentError(f"got dims {tuple(activity.dims)}, expected a brain or a network Dataset")


def _end(steps: np.ndarray, end: float | None, dim: str) -> int:
    if end is None:
        return len(steps) - 1
    if not steps[0] <= end <= steps[-1]:
        raise ArgumentError(f"got end={end:g}, expected a {dim} in {steps[0]:g}..{steps[-1]:g}")
    return int(np.searchsorted(steps, end, side="right")) - 1


def _curves(states: np.ndarray, last: int) -> dict[str, np.ndarray]:
    """Return each of STEPS, (step,)."""
    n = states.shape[0]
    error = states - states[:, :, last : last + 1]
    total = product(error, error).mean(axis=(0, 2))
    # The mean over stimuli of products of one stimulus with another is the squared mean, without the spread.
    pooled = error.mean(axis=0)[None]
    squared_mean = product(pooled, pooled).mean(axis=(0, 2))
    bias = (squared_mean - total / n) * n / (n - 1)
    update = np.diff(states, axis=2)
    size = product(update, update).sum(axis=(0, 2))
    before = product(states, states).sum(axis=(0, 2))[:-1]
    along = product(update[:, :, :-1], update[:, :, 1:]).sum(axis=(0, 2))
    length = root(size)
    first = total[0] if total[0] > 0 else np.nan
    return {
        "mean_squared_error": total / first,
        "bias": bias / first,
        "variance": (total - bias) / first,
        "cosine": _padded(_quotient(along, length[:-1] * length[1:]), 1, 1),
        "contraction": _padded(_quotient(length[1:], length[:-1]), 1, 1),
        "relative_size": _padded(_quotient(length, root(before)), 1, 0),
    }


def _quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    quotient: np.ndarray = a / np.where(b > 0, b, np.nan)
    return quotient


def _padded(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """Return the values of updates at the steps that they lead to."""
    return np.pad(values, (before, after), constant_values=np.nan)


def _indices(
    values: dict[str, np.ndarray], squares: np.ndarray, last: int, steps: np.ndarray, dim: str
) -> dict[str, xr.Variable]:
    error, size = values["mean_squared_error"], squares[:last]
    after = error[last + 1 :]
    decay = float(root(_quotient(size[1:].sum(keepdims=True), size[:-1].sum(keepdims=True)))[0])
    found = {
        "convergence": float(error[:last].mean()),
        "divergence": float(after.mean()) if after.size else np.nan,
        "decay": decay,
    }
    reasons = {
        "convergence": "trial noise exceeds the first error, or it is 0",
        "divergence": "trial noise exceeds the first error, or it is 0" if after.size else "nothing after the end",
        "decay": "the updates are 0, or trial noise exceeds them",
    }
    texts, units = dict(INDICES), dict.fromkeys(INDICES, "1")
    if dim == "time":
        step = float(np.diff(steps).mean())
        found["decay_ms"] = -step / np.log(decay) if 0 < decay < 1 else np.nan
        texts["decay_ms"], units["decay_ms"] = "time constant of the decay of updates", "ms"
        reasons["decay_ms"] = "updates do not shrink"
    return {
        name: xr.Variable(
            (),
            value,
            {"units": units[name], "long_name": texts[name], "undefined": "" if np.isfinite(value) else reasons[name]},
        )
        for name, value in found.items()
    }


def _why(curve: np.ndarray) -> str:
    if np.isfinite(curve).all():
        return ""
    return "no update before or after the step, an update or the first error is 0, or trial noise exceeds it"
