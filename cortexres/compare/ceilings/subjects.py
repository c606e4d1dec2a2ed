"""The ceiling from several subjects: how well one of them is described by the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from cortexres.compare.ceilings.quantity import Of, Quantity, quantity
from cortexres.compare.ceilings.trials import check_permutations, warn_low
from cortexres.compare.choices import seeded
from cortexres.compare.measures.relations import Similarity
from cortexres.compare.measures.rsa import rsa
from cortexres.compare.nulls.exceedance import exceedance, p_value
from cortexres.compare.nulls.stimuli import permute_stimuli
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, same_stimuli

MEANINGS = {
    "lower": "mean over subjects of the similarity to the mean relations of the others",
    "upper": "mean over subjects of the similarity to the mean relations of all, themselves included",
    "each": "similarity of each subject to the mean relations of the others",
    "p": "p-value of the subjects being unrelated, corrected for the times since onset",
}


def subject_ceiling(
    subjects: Mapping[str, xr.Dataset],
    *,
    metric: Similarity = rsa,
    of: Of = "state",
    lag: int = 1,
    permutations: int = 199,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the lower and upper noise ceiling over subjects (Nili et al. 2014) at each time, over ``time``.

    No model can be nearer, on average over the subjects, to their relations than the mean of these is: the upper
    bound. It holds each subject's own noise. The mean of the others is what the best model without that knowledge
    would be: the lower bound. A right model is expected between the two. Units need not be the same, as relations
    between stimuli are compared; sessions with other units in each can be passed as subjects.

    - ``lower``, ``upper`` (time); ``each`` (subject, time), whose mean is ``lower``.
    - ``p`` (time): the lower bound against subjects whose stimuli are permuted, each in an order of its own,
      corrected for the times since onset; ``attrs["p"]`` is that of these times together, and a warning is given where
      it is not below .05.

    Relations are brought to size 1 before they are averaged. Where they are ranks, the mean is not ranked again, so
    the bounds can lie a little above those of `dissimilarity_ceiling`, which does so.

    Parameters
    ----------
    subjects : mapping of str to xarray.Dataset
        Brain Datasets by subject, with the same stimuli and times.
    metric : Similarity
        Which similarity.
    of : {"state", "velocity"}
        What the ceiling is of.
    lag : int
        Bins between the two that a velocity is the difference of.
    permutations : int
        Number of permutations.
    rng : int or numpy.random.Generator, optional
        Draws them.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If there are fewer than two subjects, their times differ, or permutations are too few.

    References
    ----------
    Nili, H. et al. (2014). A toolbox for representational similarity analysis. PLoS Computational Biology
    10:e1003553. doi:10.1371/journal.pcbi.1003553
    """
    seed, rng = seeded(rng)
    data = _quantities(subjects, of, lag)
    check_permutations(permutations)
    first = next(iter(subjects.values()))
    relations = np.stack([metric.prepared_trials(each.trials) for each in data])
    each = leave_one_out(relations)
    p, p_time = _p_values(metric, relations, each.mean(axis=0), data[0].after_onset, permutations, rng)
    warn_low(f"{metric.name} of the {of} over subjects", p)
    upper = to_mean(relations).mean(axis=0)
    undefined = "a subject has no relations between stimuli" if np.isnan(upper).any() else ""
    arrays = {"lower": each.mean(axis=0), "upper": upper, "each": each, "p": p_time}
    variables = {
        name: xr.Variable(
            ("subject", "time") if name == "each" else ("time",),
            array,
            {"units": "1", "long_name": MEANINGS[name], "undefined": undefined},
        )
        for name, array in arrays.items()
    }
    coords = {"time": data[0].time, "subject": np.arange(len(data)), "name": ("subject", list(subjects))}
    attrs = {
        "measure": metric.name,
        "orientation": metric.orientation,
        "of": of,
        "lag_ms": data[0].lag_ms,
        "n_subjects": len(data),
        "n_stimuli": first.sizes["stimulus"],
        "p": p,
        "cortexres_provenance": provenance(permutations=permutations, seed=seed),
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def leave_one_out(relations: np.ndarray) -> np.ndarray:
    """Return the cosine of each subject's relations (subject, ..., m) with the sum of the others', (subject, ...)."""
    return _cosine(relations, relations.sum(axis=0) - relations)


def to_mean(relations: np.ndarray) -> np.ndarray:
    """Return the cosine of each subject's relations (subject, ..., m) with the mean of all, (subject, ...)."""
    return _cosine(relations, np.broadcast_to(relations.mean(axis=0), relations.shape))


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return sum a b / |b| over the last axis: `a` has size 1 already, in the sense of its measure."""
    norms = np.sqrt(np.sum(b * b, axis=-1))
    cosine: np.ndarray = np.sum(a * b, axis=-1) / np.where(norms > 0, norms, np.nan)
    return cosine


def _quantities(subjects: Mapping[str, xr.Dataset], of: Of, lag: int) -> list[Quantity]:
    if len(subjects) < 2:
        raise ArgumentError(
            f"got {len(subjects)} subjects, expected at least 2 as name -> brain Dataset; use trial_ceiling for one"
        )
    first = next(iter(subjects.values()))
    for name, brain in subjects.items():
        check_brain(brain)
        same_stimuli(first, brain)
        if not np.array_equal(first["time"].values, brain["time"].values):
            raise ArgumentError(
                f"subject {name} has {brain.sizes['time']} bins at {float(brain['time'][0]):g}.."
                f"{float(brain['time'][-1]):g} ms, expected the same {first.sizes['time']} at"
                f" {float(first['time'][0]):g}..{float(first['time'][-1]):g} ms for all; rebin or select them"
            )
    return [quantity(brain, of, lag) for brain in subjects.values()]


def _p_values(
    metric: Similarity,
    relations: np.ndarray,
    lower: np.ndarray,
    after_onset: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> tuple[float, np.ndarray]:
    """Return the p-values of the lower bound, over all times after onset and time by time."""
    used = after_onset & ~np.isnan(lower)
    if not used.any():
        return np.nan, np.full(lower.shape, np.nan)
    n = round(relations.shape[-1] ** 0.5)
    null = np.empty((draws, int(used.sum())))
    for k in range(draws):
        orders = permute_stimuli.orders(n, draws=len(relations), rng=rng)
        moved = [metric.reordered(each[used], order) for each, order in zip(relations, orders, strict=True)]
        null[k] = leave_one_out(np.stack(moved)).mean(axis=0)
    p = float(exceedance(lower[used].mean(), null.mean(axis=1)))
    return p, p_value(lower, null, metric.orientation)
