"""The residual update against dr/dt: does each block add what the circuit gains in the same time?"""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.split_half import halves
from cortexres.compare.choices import check_splits, seeded
from cortexres.compare.nulls import exceedance, permute_stimuli
from cortexres.compare.pairing import float_values, paired
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network

FORMS = ("correlation", "specific", "cosine")
MEANINGS = {
    "correlation": "Pearson correlation of update and dr/dt, pooled over stimulus, edge and unit",
    "specific": "the same after taking from both the mean over stimuli at each edge and unit",
    "cosine": "cosine of update and dr/dt, pooled over stimulus, edge and unit",
}


def update_scores(
    brain: xr.Dataset,
    network: xr.Dataset,
    *,
    until_ms: float = 40.0,
    permutations: int = 500,
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return how well the network's update per ms is the brain's dr/dt at the bin edges in (0, `until_ms`].

    Both sides are differences of the same two bin means over their distance (`at_bins`), so a block may be
    longer or shorter than a bin. All entries (stimulus, edge, unit) are pooled. Per FORM in ``correlation``,
    ``specific`` (correlation after the mean over stimuli at each edge and unit is taken from both: what all
    stimuli have in common, the onset, is no evidence about the circuit) and ``cosine`` (not centred; at onset
    it is high for nearly any network):

    - ``FORM``: the value.
    - ``FORM_ceiling``: the same between the velocities of two random halves of the trials, averaged over
      splits; uncorrected, so it is the reliability of half the data, and a right, noise-free model exceeds
      it.
    - ``FORM_null``: 95th percentile with permuted stimuli; ``FORM_null_mean``: mean; ``FORM_p``: p-value with
      the true order counted as one of the permutations.

    NaN where undefined: either side has no velocity, or the ceiling with one trial; ``attrs["undefined"]``
    says which.

    Parameters
    ----------
    brain, network : xarray.Dataset
        Same stimuli and units, the network with ``t_ms``.
    until_ms : float
        Last bin edge used.
    permutations, splits : int
        Number of permutations of the stimuli, and of random splits of the trials.
    rng : int or numpy.random.Generator, optional
        Draws both.

    Raises
    ------
    SchemaError
        If stimuli or units differ.
    ArgumentError
        If there is no edge in the window, or no permutation or split.
    """
    check_brain(brain)
    check_network(network)
    check_splits(splits)
    seed, rng = seeded(rng)
    brain_bins, network_bins = paired(brain, network)
    edges = _edges(brain_bins["time"].values, until_ms)
    centres = float_values(brain_bins["time"])[: edges.size + 1]
    trials = _velocity(float_values(brain_bins["response"]), centres)
    update = _velocity(float_values(network_bins["response"]), centres)
    orders = permute_stimuli.orders(len(update), draws=permutations, rng=rng)
    pairs = list(halves(trials, splits=splits, rng=rng)) if trials.shape[1] > 1 else []
    variables: dict[str, xr.Variable] = {}
    for form in FORMS:
        variables |= _scores(form, trials.mean(axis=1), update, orders, pairs)
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "orientation": "similarity",
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "edges_ms": edges.tolist(),
        "null": permute_stimuli.name,
        "permutations": permutations,
        "cortexres_provenance": provenance(forms=FORMS, splits=splits, seed=seed),
    }
    return xr.Dataset(variables, attrs=attrs)


def _edges(time: np.ndarray, until_ms: float) -> np.ndarray:
    """Return the edges between consecutive bins since onset, up to `until_ms`."""
    middles = (time[1:] + time[:-1]) / 2
    edges: np.ndarray = middles[middles <= until_ms + 1e-9]
    if edges.size == 0:
        raise ArgumentError(
            f"got until_ms={until_ms:g}, expected an edge between two bins since onset by then; the bins"
            " both sides have"
            f" are at {time[0]:g}..{time[-1]:g} ms: use finer bins or a later end"
        )
    return edges


def _velocity(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the change per ms at the edges, (..., edge, unit), of bin means (..., time, unit)."""
    velocity: np.ndarray = np.diff(values[..., : centres.size, :], axis=-2) / np.diff(centres)[:, None]
    return velocity


def _scores(
    form: str,
    brain: np.ndarray,
    update: np.ndarray,
    orders: np.ndarray,
    pairs: list[tuple[np.ndarray, np.ndarray]],
) -> dict[str, xr.Variable]:
    a, b = _directed(form, brain), _directed(form, update)
    value = float(np.vdot(a, b))
    # Centring is the same in any order of the stimuli, so one matrix of inner products holds every permuted
    # score.
    products = a @ b.T
    null = products[np.arange(len(a)), orders].sum(axis=1)
    ceiling = np.mean([np.vdot(_directed(form, x), _directed(form, y)) for x, y in pairs]) if pairs else np.nan
    undefined = " and ".join(
        f"the {side} does not change" for side, flat in (("brain", a), ("network", b)) if np.isnan(flat).any()
    )
    results = {
        form: (MEANINGS[form], value),
        f"{form}_ceiling": ("the same between two random halves of the trials, uncorrected", ceiling),
        f"{form}_null": ("95th percentile with permuted stimuli", np.quantile(null, 0.95)),
        f"{form}_null_mean": ("mean with permuted stimuli", null.mean()),
        f"{form}_p": ("p-value against permuted stimuli", float(exceedance(np.asarray(value), null))),
    }
    reasons = dict.fromkeys(results, undefined)
    if not pairs:
        reasons[f"{form}_ceiling"] = "one trial has no halves"
    return {
        name: xr.Variable((), number, {"units": "1", "long_name": text, "undefined": reasons[name]})
        for name, (text, number) in results.items()
    }


def _directed(form: str, velocity: np.ndarray) -> np.ndarray:
    """Return velocities as (stimulus, edge * unit), centred as `form` says, of norm 1; NaN where still."""
    flat = velocity.reshape(len(velocity), -1)
    scale = np.abs(flat).max(initial=0.0)
    if form == "correlation":
        flat = flat - flat.mean()
    if form == "specific":
        flat = flat - flat.mean(axis=0)
    if np.abs(flat).max(initial=0.0) <= 1e-12 * scale:
        return np.full_like(flat, np.nan)
    directed: np.ndarray = flat / np.linalg.norm(flat)
    return directed
