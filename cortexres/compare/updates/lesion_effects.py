"""What a lesion or a perturbation does to the end, how large that is, and how two profiles of it go together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from cortexres.compare.pairing import float_values, same_axes
from cortexres.compare.updates.trial_products import product, root
from cortexres.compare.windows import Window, bin_width, in_window, late_window
from cortexres.errors import ArgumentError
from cortexres.schema import check_brain, check_network, same_stimuli


def brain_changes(
    brain: xr.Dataset, runs: Sequence[xr.Dataset], read_ms: Window | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the changes (perturbation, stimulus, trial, unit) of the end, and the end (stimulus, trial, unit)."""
    read = in_window(brain["time"], read_ms or late_window(brain["time"], bin_width(brain)), "read_ms")
    end = float_values(brain["response"])[:, :, read].mean(axis=2)
    changes = []
    for run in runs:
        check_brain(run)
        same_axes(brain, run, ("stimulus", "trial", "time", "unit"), "a perturbed run")
        changes.append(float_values(run["response"])[:, :, read].mean(axis=2) - end)
    return np.stack(changes), end


def network_changes(network: xr.Dataset, runs: Sequence[xr.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """Return the changes (lesion, stimulus, unit) of the last state, and that state."""
    last = float_values(network["response"])[:, -1]
    changes = []
    for run in runs:
        check_network(run)
        same_stimuli(network, run)
        if run.sizes["unit"] != network.sizes["unit"]:
            raise ArgumentError(
                f"a lesioned network has {run.sizes['unit']} units, expected the {network.sizes['unit']} of the intact"
                " one; record the same network with one block changed"
            )
        changes.append(float_values(run["response"])[:, -1] - last)
    return np.stack(changes), last


def read_profile(weights: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Return what a profile (perturbation,), or (perturbation, lesion), is at the time of each lesion, (lesion,)."""
    values = profile if profile.ndim == 2 else profile[:, None]
    # 0 * NaN is NaN: a perturbation that is not among the neighbours of a time must not count there.
    terms = np.where(weights.T == 0.0, 0.0, weights.T * values)
    read: np.ndarray = terms.sum(axis=0)
    return read


def effect_size(change: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the size of changes (perturbation, stimulus, trial, unit) over that of the end, (perturbation,)."""
    squares = np.array([product(one, one).mean() for one in change])
    whole = product(end, end).mean()
    return root(squares / whole if whole > 0 else np.full(len(change), np.nan))


def profile_correlation(a: np.ndarray, b: np.ndarray, *, ranks: bool) -> float:
    """Return the correlation of two profiles where both are known; NaN with fewer than 3, or where one is flat."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if a.size < 3 or np.ptp(a) <= 1e-9 * np.abs(a).max() or np.ptp(b) <= 1e-9 * np.abs(b).max():
        return np.nan
    if ranks:
        from scipy.stats import rankdata  # half a second to import

        a, b = rankdata(a), rankdata(b)
    return float(np.corrcoef(a, b)[0, 1])
