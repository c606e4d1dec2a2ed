"""Any score against any nulls: the whole score is computed anew on every draw, with all the choices in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cortexres.compare.choices import seeded
from cortexres.compare.defined import mean_of_defined
from cortexres.compare.jackknife import interval, kept
from cortexres.compare.measures.measure import Orientation
from cortexres.compare.nulls.exceedance import p_value
from cortexres.compare.nulls.null import Null, Pair
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import same_stimuli

Score = Callable[[xr.Dataset, xr.Dataset], float | xr.DataArray]

# Groups of stimuli left out for the interval of a difference: each costs the score twice.
GROUPS = 20
# Scores closer than this to each other are the same but for rounding.
SAME = 1e-12


MEANINGS = {
    "score": "the score as it is",
    "null_scores": "the score under each null, draw by draw",
    "null_mean": "mean of the score under the null",
    "null_95": "value of the score that one draw in twenty passes",
    "p": "p-value against the null, corrected for all cells by the extreme one",
    "difference": "score less its mean under the null",
    "difference_low": "lower end of the 95 % jackknife interval over stimuli",
    "difference_high": "upper end of the 95 % jackknife interval over stimuli",
}


@dataclass(frozen=True)
class _Job:
    """What is scored, the same for all nulls."""

    brain: xr.Dataset
    network: xr.Dataset
    score: Score
    observed: xr.DataArray
    orientation: Orientation

    def values(self, pair: Pair) -> np.ndarray:
        """Return the score of a pair in the shape of the observed one."""
        values = xr.DataArray(self.score(*pair))
        if values.sizes != self.observed.sizes:
            raise ArgumentError(
                f"the score has sizes {dict(values.sizes)} under a null or with fewer stimuli and"
                f" {dict(self.observed.sizes)} as it is, expected the same; return scores of the same times and blocks"
            )
        return np.asarray(values.values, dtype=float)


@dataclass(frozen=True)
class _Found:
    """What one null gives: its values, why some are undefined, and what a reader must be told."""

    values: xr.Dataset
    undefined: dict[str, str]
    warning: str


def null_scores(
    brain: xr.Dataset,
    network: xr.Dataset,
    score: Score,
    nulls: Sequence[Null],
    *,
    draws: int = 200,
    orientation: Orientation = "similarity",
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return a score beside what it is under each null, as a Dataset with the dim ``null`` (names in ``name``).

    - ``score`` (...): the score as it is, with the dims that `score` returns.
    - ``null_scores`` (null, draw, ...), ``null_mean`` and ``null_95`` (null, ...): the scores under each null, their
      mean, and their 95th percentile (5th for a distance), cell by cell.
    - ``p`` (null, ...): p-value of a random null, corrected for all cells by the largest value among them (smallest
      for a distance), the true score counted as one of the draws. NaN for a null that has one value only.
    - ``difference`` (null, ...): score less the mean under the null; for a null with one value also
      ``difference_low`` and ``difference_high``, the 95 % jackknife interval over stimuli, left out of both alike.

    A draw in which the score is nowhere defined counts as one that reaches it. ``claim`` (null) says what each null's
    rejection shows. ``attrs["warnings"]`` names nulls that leave the score unchanged: they can show nothing.

    Parameters
    ----------
    brain, network : xarray.Dataset
        Same stimuli.
    score : callable
        ``score(brain, network)`` returns a number or a DataArray. A best block, an alignment or any other choice
        made within it is made anew under the null.
    nulls : sequence
        Each with another name.
    draws : int
        Draws per random null; 1 / (draws + 1) is the least p-value.
    orientation : {"similarity", "distance"}
        Whether alike means high or low.
    rng : int or numpy.random.Generator, optional
        Draws the nulls.

    Raises
    ------
    SchemaError
        If the stimuli differ.
    ArgumentError
        If there are no nulls, two of one name, no draws, or the score says that it has the other orientation.
    """
    same_stimuli(brain, network)
    names = _names(nulls, draws)
    seed, rng = seeded(rng)
    job = _Job(brain, network, score, xr.DataArray(score(brain, network)), orientation)
    check_orientation(job.observed, orientation)
    found = [_against(job, null, draws, rng) for null in nulls]
    joined = xr.concat([each.values for each in found], "null", data_vars="all", coords="minimal", join="exact")
    coords = {
        "null": np.arange(len(names)),
        "name": ("null", names),
        "claim": ("null", [null.claim for null in nulls]),
    }
    attrs = {
        "orientation": orientation,
        "n_stimuli": brain.sizes["stimulus"],
        "n_trials": brain.sizes["trial"],
        "draws": draws,
        "model": str(network.attrs.get("model", "")),
        "warnings": "; ".join(each.warning for each in found if each.warning),
        "cortexres_provenance": provenance(nulls=names, draws=draws, seed=seed),
    }
    scores = joined.assign(score=job.observed.variable).assign_coords(coords).assign_attrs(attrs)
    own = str(job.observed.attrs.get("undefined", ""))
    reasons = {
        name: "; ".join(dict.fromkeys(r for r in (own, *(each.undefined.get(name, "") for each in found)) if r))
        for name in MEANINGS
    }
    units = str(job.observed.attrs.get("units", "1"))
    for name, text in MEANINGS.items():
        scores[name].attrs.update(units=units if name != "p" else "1", long_name=text, undefined=reasons[name])
    return scores


def check_orientation(score: xr.DataArray, orientation: Orientation) -> None:
    """Return nothing if a score does not say that alike means the other way round.

    Raises
    ------
    ArgumentError
        If it does: its p-values would be those of being unlike.
    """
    said = score.attrs.get("orientation", orientation)
    if said != orientation:
        raise ArgumentError(
            f"got orientation={orientation!r} and a score that is a {said}, expected the same;"
            f" give orientation={said!r}"
        )


def _names(nulls: Sequence[Null], draws: int) -> list[str]:
    names = [null.name for null in nulls]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"got nulls {names}, expected at least one and each name once")
    if draws < 1:
        raise ArgumentError(f"got draws={draws}, expected at least 1 (200 for p-values down to 0.005)")
    return names


def _against(job: _Job, null: Null, draws: int, rng: np.random.Generator) -> _Found:
    """Return all that one null gives; a null with one value has it as draw 0, and NaN as the others."""
    count = draws if null.random else 1
    shape = job.observed.shape
    values = np.full((draws, *shape), np.nan)
    for k in range(count):
        values[k] = job.values(null.draw(job.brain, job.network, rng))
    drawn = values[:count]
    observed = np.asarray(job.observed.values, dtype=float)
    p = low = high = np.full(shape, np.nan)
    reason = f"{null.name}: a random null has p and no interval"
    if null.random:
        p = p_value(observed, drawn, job.orientation)
    else:
        low, high, reason = _interval(job, null, rng)
    cells = {
        "null_mean": mean_of_defined(drawn),
        "null_95": np.quantile(drawn, 0.95 if job.orientation == "similarity" else 0.05, axis=0),
        "p": p,
        "difference": observed - mean_of_defined(drawn),
        "difference_low": low,
        "difference_high": high,
    }
    dims = job.observed.dims
    variables = {name: (dims, array) for name, array in cells.items()}
    dataset = xr.Dataset(variables | {"null_scores": (("draw", *dims), values)}, coords=job.observed.coords)
    undefined = int(np.isnan(drawn.reshape(count, -1)).all(axis=1).sum())
    nowhere = f"{null.name}: nowhere defined in {undefined} of {count} draws" if undefined else ""
    reasons = {
        "p": "" if null.random else f"{null.name} has one value, which is no distribution",
        "difference_low": reason,
        "difference_high": reason,
        **dict.fromkeys(("null_scores", "null_mean", "null_95", "difference"), nowhere),
    }
    same = bool(np.all((np.abs(drawn - observed) <= SAME) | np.isnan(observed)))
    return _Found(dataset, reasons, f"{null.name} leaves the score as it is, so it can show nothing" if same else "")


def _interval(job: _Job, null: Null, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the jackknife interval of the difference from a null with one value, and why it is undefined."""

    def difference(keep: np.ndarray) -> np.ndarray:
        brain, network = job.brain.isel(stimulus=keep), job.network.isel(stimulus=keep)
        less: np.ndarray = job.values((brain, network)) - job.values(null.draw(brain, network, rng))
        return less

    n = job.brain.sizes["stimulus"]
    try:
        left_out = np.stack([difference(keep) for keep in kept(n, min(n, GROUPS))])
    except ArgumentError as error:  # the score is defined for all stimuli, so fewer were too few
        nan = np.full(job.observed.shape, np.nan)
        return nan, nan, f"{null.name}: too few stimuli to leave some out ({error})"
    low, high = interval(difference(np.arange(n)), left_out)
    return low, high, ""
