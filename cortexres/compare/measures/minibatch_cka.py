"""Linear CKA of more stimuli than fit in memory at once: sums over batches first, then one ratio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from array_api_compat import array_namespace

from cortexres.compare.measures.cka import u_centred_gram
from cortexres.compare.measures.measure import Measure, as_float
from cortexres.errors import ArgumentError

FEWEST = 4


def minibatch_cka(batches: Iterable[tuple[Any, Any]]) -> Any:
    """Return debiased linear CKA (k, l) of k activities with l others, given in batches of the stimuli.

    HSIC_1 is unbiased in each batch, and so is its mean over batches; their ratio is taken at the end. (The mean
    of the batches' CKA is biased, and more so the smaller they are.) Stimuli of different batches are not compared,
    so draw the stimuli at random, or batches of one category each will miss what sets categories apart.

    Parameters
    ----------
    batches : iterable of (array, array)
        Activities (k, b, p) and (l, b, q) over the same b stimuli, numpy or torch; b may differ between batches.

    Raises
    ------
    ArgumentError
        If there is no batch, or one has fewer than four stimuli, or another number on the other side.

    References
    ----------
    Nguyen, T., Raghu, M., Kornblith, S. (2021). Do wide and deep networks learn the same things? ICLR.
    arXiv:2010.15327
    """
    sums: tuple[Any, Any, Any] | None = None
    for x, y in batches:
        parts = _batch(x, y)
        sums = parts if sums is None else (sums[0] + parts[0], sums[1] + parts[1], sums[2] + parts[2])
    if sums is None:
        raise ArgumentError("got no batches, expected at least one pair of activities")
    crossed, own, other = sums
    xp = array_namespace(crossed)
    sizes = [xp.sqrt(xp.where(side > 0, side, xp.full_like(side, float("nan")))) for side in (own, other)]
    return crossed / (sizes[0][:, None] * sizes[1][None, :])


def minibatch_linear_cka(name: str = "linear_cka_minibatch", *, batch: int = 64) -> Measure:
    """Return the measure that is `minibatch_cka` of the stimuli in their order, `batch` of them (or a few more) each.

    Parameters
    ----------
    name : str
        Names the variables in the scores Dataset.
    batch : int
        Fewest stimuli in a batch; all in one where there are not twice as many.

    Raises
    ------
    ArgumentError
        If `batch` is below four.
    """
    if batch < FEWEST:
        raise ArgumentError(f"got batch={batch}, expected at least {FEWEST} stimuli; HSIC_1 is undefined for fewer")
    return Measure(name, as_float, partial(_scores, batch=batch), minimum_stimuli=FEWEST)


def _scores(a: Any, b: Any, *, batch: int) -> Any:
    return minibatch_cka(_slices(a, b, batch))


def _slices(a: Any, b: Any, batch: int) -> Iterator[tuple[Any, Any]]:
    """Yield both sides in parts of nearly the same number of stimuli, none of fewer than `batch` if possible."""
    n = a.shape[1]
    parts = max(1, n // batch)
    for k in range(parts):
        part = slice(k * n // parts, (k + 1) * n // parts)
        yield a[:, part, :], b[:, part, :]


def _batch(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return HSIC_1 (k, l) of both sides, and (k,) and (l,) of each with itself."""
    n = x.shape[1]
    if n < FEWEST or y.shape[1] != n:
        raise ArgumentError(
            f"got a batch of {n} and {y.shape[1]} stimuli, expected the same number and at least {FEWEST}; leave a"
            " short last batch out, or join it to the one before"
        )
    xp = array_namespace(x, y)
    grams = [u_centred_gram(as_float(side)) for side in (x, y)]
    flat = [xp.reshape(gram, (gram.shape[0], -1)) / (n * (n - 3)) ** 0.5 for gram in grams]
    crossed = xp.matmul(flat[0], xp.matrix_transpose(flat[1]))
    return crossed, xp.sum(flat[0] ** 2, axis=-1), xp.sum(flat[1] ** 2, axis=-1)


linear_cka_minibatch = minibatch_linear_cka()
"""Debiased linear CKA in batches of 64 stimuli: the same as `linear_cka` below 128."""
