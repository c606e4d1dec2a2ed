"""Participation ratio: in how many dimensions the responses to the stimuli differ, at each time and each block."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from array_api_compat import array_namespace

from cortexres.compare.ceilings.split_half import halves
from cortexres.compare.choices import seeded
from cortexres.compare.measures.cka import u_centred_gram
from cortexres.compare.measures.relations import centre_stimuli
from cortexres.compare.pairing import float_values
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network

MINIMUM_STIMULI = 4


class Moments(NamedTuple):
    """What the participation ratio is a ratio of."""

    squared_trace: Any
    """Estimates (k,) of the square of the covariance's trace."""
    trace_of_square: Any
    """Estimates (k,) of the trace of its square."""


def participation_ratio(
    data: xr.Dataset,
    *,
    units: Literal["sampled", "all"] = "sampled",
    splits: int = 20,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the participation ratio of the responses to the stimuli, as it is and corrected, along time or depth.

    ``(sum l)^2 / sum l^2`` of the eigenvalues l of the covariance of the units over stimuli: d for d dimensions of
    equal variance, 1 for one. Plain estimates are too low with few stimuli or few units (at most the number of
    either), and too high where trial noise adds dimensions. The corrected one is the ratio of unbiased estimates
    of both terms: products are taken between different stimuli and, of a sample of units, between different units;
    with 2 trials or more, between two halves of the trials, so that independent noise cancels.

    Parameters
    ----------
    data : xarray.Dataset
        Brain Dataset or network Dataset.
    units : {"sampled", "all"}
        Whether the units are a sample of the many that there are (a recording; a network that is compared with
        one), or all there are.
    splits : int
        Number of random halves of the trials whose estimates are averaged.
    rng : int or numpy.random.Generator, optional
        Draws the halves.

    Returns
    -------
    xarray.Dataset
        Over time or block: ``participation_ratio`` (of the trial mean, uncorrected) and
        ``participation_ratio_corrected``, NaN where a term is not above 0, as where stimuli make no difference.
        Where they make little beyond noise, before onset for one, it is a ratio of noise and scatters widely. With
        one trial of a brain its noise is in both; ``attrs["bias"]`` says so.

    Raises
    ------
    SchemaError
        If the Dataset does not keep the schema.
    ArgumentError
        If it is neither, there are fewer than 4 stimuli, or an option is out of range.

    References
    ----------
    Gao, P. et al. (2017). A theory of multineuronal dimensionality, dynamics and measurement. bioRxiv 214262.
    doi:10.1101/214262
    Chun, C., Canatar, A., Chung, S., Lee, D. D. (2025). Estimating dimensionality of neural representations from
    finite samples. arXiv:2509.26560
    """
    axis, trials = _trials(data)
    n = trials.shape[0]
    if n < MINIMUM_STIMULI:
        raise ArgumentError(f"got {n} stimuli, expected at least {MINIMUM_STIMULI} for a participation ratio")
    if units not in ("sampled", "all") or splits < 1:
        raise ArgumentError(f"got units={units!r} and splits={splits}, expected 'sampled' or 'all', and 1 or more")
    seed, rng = seeded(rng)
    mean = trials.mean(axis=1).swapaxes(0, 1)
    pairs = [(mean, mean)]
    if trials.shape[1] > 1:
        drawn = halves(trials, splits=splits, rng=rng)
        pairs = [(first.swapaxes(0, 1), second.swapaxes(0, 1)) for first, second in drawn]
    found = [unbiased_moments(*pair, sampled=units == "sampled") for pair in pairs]
    corrected = ratio(Moments(*(np.mean(part, axis=0) for part in zip(*found, strict=True))))
    noisy = axis == "time" and trials.shape[1] == 1
    facts = {
        "axis": axis,
        "units": units,
        "splits": splits if trials.shape[1] > 1 else 0,
        "n_stimuli": n,
        "n_trials": trials.shape[1],
        "n_units": trials.shape[3],
        "bias": "one trial: its noise adds dimensions" if noisy else "",
    }
    values = {
        "participation_ratio": (ratio(plain_moments(mean)), "of the trial mean, uncorrected"),
        "participation_ratio_corrected": (corrected, "corrected for few stimuli, units and trials"),
    }
    variables = {}
    for name, (column, text) in values.items():
        missing = "where the stimuli make no difference, or none beyond noise" if np.isnan(column).any() else ""
        attrs = {"units": "1", "long_name": f"participation ratio {text}", "undefined": missing}
        variables[name] = xr.Variable(axis, column, attrs)
    return xr.Dataset(
        variables,
        coords={str(name): c.variable for name, c in data.coords.items() if c.dims == (axis,)},
        attrs={
            "model": str(data.attrs.get("model", "")),
            **facts,
            "cortexres_provenance": provenance(measure="participation_ratio", seed=seed, **facts),
        },
    )


def plain_moments(activity: Any) -> Moments:
    """Return the moments of the covariance over stimuli of activity (k, n, p), as it is."""
    xp = array_namespace(activity)
    x = centre_stimuli(activity)
    gram = xp.matmul(x, xp.matrix_transpose(x)) if x.shape[-1] > x.shape[-2] else xp.matmul(xp.matrix_transpose(x), x)
    trace = xp.sum(x * x, axis=(-2, -1))
    return Moments(trace * trace, xp.sum(gram * gram, axis=(-2, -1)))


def unbiased_moments(a: Any, b: Any, *, sampled: bool) -> Moments:
    """Return unbiased estimates of the moments from two repeats (k, n, p), whose noise is independent.

    They are means over four different stimuli i, j, r, s: of ``d(i, j) d(r, s)`` for the squared trace, where d is
    half the product of the differences of a and of b; and of HSIC_1 of both Gram matrices for the trace of the
    square. Of sampled units the terms of one unit with itself are taken off both; each is a squared variance.

    Parameters
    ----------
    a, b : array
        Two repeats over the same n stimuli, 4 or more; the same array twice where there is one.
    sampled : bool
        Whether the p units are a sample of many, so that p (p - 1) pairs stand for all pairs.
    """
    xp = array_namespace(a, b)
    n = a.shape[-2]
    x, y = centre_stimuli(a), centre_stimuli(b)
    own = xp.sum(x * y, axis=-1)  # (k, n)
    cross = xp.matmul(x, xp.matrix_transpose(y))
    apart = (own[:, :, None] + own[:, None, :] - cross - xp.matrix_transpose(cross)) / 2
    rows = xp.sum(apart, axis=-1)
    squared_trace = _different_four(
        xp.sum(rows, axis=-1), xp.sum(rows * rows, axis=-1), xp.sum(apart * apart, axis=(-2, -1)), n
    )
    trace_of_square = xp.sum(u_centred_gram(a) * u_centred_gram(b), axis=(-2, -1)) / (n * (n - 3))
    if not sampled:
        return Moments(squared_trace, trace_of_square)
    alone = xp.sum(_squared_variances(x, y), axis=-1)
    return Moments(squared_trace - alone, trace_of_square - alone)


def ratio(moments: Moments) -> Any:
    """Return the participation ratios (k,); NaN where either moment is not above 0."""
    xp = array_namespace(moments.squared_trace, moments.trace_of_square)
    nan = xp.full_like(moments.trace_of_square, float("nan"))
    defined = (moments.trace_of_square > 0) & (moments.squared_trace > 0)
    return xp.where(defined, moments.squared_trace / xp.where(defined, moments.trace_of_square, nan), nan)


def _different_four(total: Any, squared_rows: Any, squares: Any, n: int) -> Any:
    """Return the mean of d(i, j) d(r, s) over four different indices, d hollow and symmetric.

    Of all products, those that share one index (four ways) and those that share both are taken off.
    """
    return (total * total - 4 * squared_rows + 2 * squares) / (n * (n - 1) * (n - 2) * (n - 3))


def _squared_variances(x: Any, y: Any) -> Any:
    """Return unbiased estimates (k, p) of each unit's squared covariance of centred repeats (k, n, p).

    `_different_four` of d(i, j) = (x_i - x_j) (y_i - y_j) / 2, whose sums are sums of powers.
    """
    xp = array_namespace(x, y)
    n = x.shape[-2]
    products = x * y
    covariance, fourth = xp.sum(products, axis=-2), xp.sum(products * products, axis=-2)
    squares = xp.sum(x * x, axis=-2) * xp.sum(y * y, axis=-2)
    squared_rows = (n * n * fourth + 3 * n * covariance * covariance) / 4
    squared_pairs = (2 * n * fourth + 2 * squares + 4 * covariance * covariance) / 4
    return _different_four(n * covariance, squared_rows, squared_pairs, n)


def _trials(data: xr.Dataset) -> tuple[Literal["time", "block"], np.ndarray]:
    """Return the axis and the responses (stimulus, trial, axis, unit) of either side."""
    if "time" in data.dims and "block" not in data.dims:
        return "time", float_values(check_brain(data)["response"])
    if "block" in data.dims and "time" not in data.dims:
        return "block", float_values(check_network(data)["response"])[:, None]
    raise ArgumentError(
        f"got dims {sorted(map(str, data.dims))}, expected a brain Dataset with time or a network Dataset with block"
    )
