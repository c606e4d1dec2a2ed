"""The ceiling from trials or sessions, time by time: halves of the data against each other."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.model_ceiling import model_ceiling, reliability_of_all, why_none
from cortexres.compare.ceilings.quantity import Of, Quantity, quantity
from cortexres.compare.ceilings.split_half import SplitHalf, agreement
from cortexres.compare.choices import check_splits, seeded
from cortexres.compare.measures.cka import linear_cka
from cortexres.compare.measures.measure import Comparison
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain

LEVEL = 0.05
LEAST_PERMUTATIONS = 19
MEANINGS = {
    "ceiling": "score of two random halves of the trials, mean over splits, uncorrected",
    "reliability": "the same of two measurements with all trials, by Spearman-Brown",
    "model_ceiling": "what a right model without noise scores against all trials: root of the reliability",
    "p": "p-value of the halves being unrelated, corrected for the times since onset",
}


def trial_ceiling(
    brain: xr.Dataset,
    *,
    metric: Comparison = linear_cka,
    of: Of = "state",
    lag: int = 1,
    by: str | None = None,
    splits: int = 20,
    permutations: int = 199,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the noise ceiling of a brain's state or velocity at each time, as a Dataset over ``time``.

    - ``ceiling``: score of the means of two random halves of the trials, averaged over splits: the reliability of half
      the data, which a right model scored against all trials can exceed.
    - ``reliability``: 2 c / (1 + c), by Spearman and Brown: the score of two measurements with all the trials each, if
      what noise adds to the relations halves when the trials double.
    - ``model_ceiling``: its root, the score of a right model without noise against all trials. NaN where the
      reliability is not above zero.
    - ``p``: of the halves being unrelated, corrected for the times since onset by the largest value.

    Spearman and Brown hold where noise is small. Where it is large, the noise of relations between stimuli falls faster
    than the trials grow in number, and both corrected values are too low: at ``ceiling`` .81 by .003, at .25 by .05, so
    that a right model then passes ``model_ceiling``. Distances that are not cross-validated also grow with the noise,
    so that stimuli which differ in their noise alone give a reliable ceiling; debiased CKA and crossnobis do not.

    Nothing is clipped. ``attrs["p"]`` is the p-value of all times since onset together; a warning is given where it is
    not below .05, as no model can be told from another on such data. A velocity is a difference and has less signal
    and more noise than a state, so it needs a ceiling of its own: compare updates with this one.

    Parameters
    ----------
    brain : xarray.Dataset
        Brain Dataset.
    metric : Comparison
        Which measure. For a distance ``ceiling`` is the least that can be asked for (a floor). A distance, and a
        measure that unrelated activity does not leave at 0 (``chance_is_zero``), has no Spearman-Brown correction.
    of : {"state", "velocity"}
        What the ceiling is of.
    lag : int
        Bins between the two that a velocity is the difference of.
    by : str, optional
        A coordinate over ``trial``, such as ``session``: trials of the same session stay in the same half, so that
        what drifts between sessions counts as noise.
    splits, permutations : int
        Number of random halves, and of permutations for the p-values.
    rng : int or numpy.random.Generator, optional
        Draws both.

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If there is nothing to split by, or too few splits or permutations.

    References
    ----------
    Spearman, C. (1910). Correlation calculated from faulty data. British Journal of Psychology 3:271.
    Brown, W. (1910). Some experimental results in the correlation of mental abilities. ibid. 3:296.
    """
    check_brain(brain)
    check_splits(splits)
    check_permutations(permutations)
    seed, rng = seeded(rng)
    data = quantity(brain, of, lag)
    labels = trial_labels(brain, by)
    parts = np.unique(labels).size
    # Measures that take trials apart (crossnobis) need two in each half.
    needed = 4 if metric.takes_trials else 2
    many = parts >= needed
    nan = np.full(data.time.size, np.nan)
    found = SplitHalf(nan, np.nan, nan)
    if many:
        found = agreement(metric, data.trials, data.after_onset, labels, splits=splits, draws=permutations, rng=rng)
        warn_low(f"{metric.name} of the {of}", found.p)
    attrs = {
        "measure": metric.name,
        "orientation": metric.orientation,
        "of": of,
        "lag_ms": data.lag_ms,
        "halves": f"of {by or 'trial'}s",
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "n_units": brain.sizes["unit"],
        "p": found.p,
        "cortexres_provenance": provenance(splits=splits, permutations=permutations, seed=seed),
    }
    reason = "" if many else f"everywhere: one {by or 'trial'} has no halves"
    if 1 < parts < needed:
        reason = f"everywhere: {metric.name} needs {needed} {by or 'trial'}s for two halves, got {parts}"
    return _dataset(metric, found, data, reason).assign_attrs(attrs)


def trial_labels(brain: xr.Dataset, by: str | None) -> np.ndarray:
    """Return what keeps trials together, (trial,): the trial itself, or the values of the coordinate `by`.

    Raises
    ------
    ArgumentError
        If there is no such coordinate over ``trial``.
    """
    if by is None:
        return np.arange(brain.sizes["trial"])
    if by not in brain.coords or brain[by].dims != ("trial",):
        have = ", ".join(str(name) for name, c in brain.coords.items() if c.dims == ("trial",)) or "none"
        raise ArgumentError(
            f"got by={by!r}, expected a coordinate over trial (there is {have}); add it with"
            f" assign_coords({by}=('trial', labels))"
        )
    return np.asarray(brain[by].values)


def check_permutations(permutations: int) -> None:
    """Return nothing if a p-value of .05 can be reached with so many permutations.

    Raises
    ------
    ArgumentError
        If not.
    """
    if permutations < LEAST_PERMUTATIONS:
        raise ArgumentError(
            f"got permutations={permutations}, expected at least {LEAST_PERMUTATIONS}: with fewer no ceiling is found"
            f" to be above zero at p <= {LEVEL:g}"
        )


def warn_low(what: str, p: float) -> None:
    """Warn where a ceiling is not above zero, which is said by its p-value; two calls below the caller's caller."""
    if not p <= LEVEL:
        warnings.warn(
            f"{what}: ceiling not above zero after onset (p = {p:.2g}): parts of the data share no relations"
            " between stimuli, so no model can be told from another; use more trials, stimuli or contrast",
            stacklevel=3,
        )


def _dataset(metric: Comparison, found: SplitHalf, data: Quantity, reason: str) -> xr.Dataset:
    values = found.values
    reliability = reliability_of_all(metric, values)
    arrays = {
        "ceiling": values,
        "reliability": reliability,
        "model_ceiling": model_ceiling(metric, values),
        "p": found.p_time,
    }
    halves = reason or _where(data, np.isnan(values), "half the trials are the same for all stimuli")
    low = _where(data, ~(reliability > 0) & ~np.isnan(values), "reliability not above zero")
    none = f"everywhere: {why_none(metric)}" if why_none(metric) else ""
    reasons = {
        "ceiling": halves,
        "reliability": none or halves,
        "model_ceiling": none or "; ".join(text for text in (halves, low) if text),
        "p": halves,
    }
    variables = {
        name: xr.Variable(("time",), array, {"units": "1", "long_name": MEANINGS[name], "undefined": reasons[name]})
        for name, array in arrays.items()
    }
    return xr.Dataset(variables, coords={"time": data.time})


def _where(data: Quantity, mask: np.ndarray, why: str) -> str:
    """Return at which times, and why; nothing where there are none."""
    times = data.time.values[mask]
    if times.size == 0:
        return ""
    return f"{', '.join(f'{t:g}' for t in times[:5])}{', ...' if times.size > 5 else ''} ms: {why}"
