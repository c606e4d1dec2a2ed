"""Centred kernel alignment with a Gaussian kernel: also relations that are no inner products count."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from array_api_compat import array_namespace

from cortexres.compare.measures.cka import u_centred
from cortexres.compare.measures.dissimilarities import squared_euclidean
from cortexres.compare.measures.pair_comparisons import whiten
from cortexres.compare.measures.pair_ranks import pairs_of
from cortexres.compare.measures.relations import Similarity
from cortexres.errors import ArgumentError


def gaussian_gram(activity: Any, *, width: float) -> Any:
    """Return exp(-d^2 / (2 s^2)), (..., n, n), of activity (..., n, p) with s = `width` times the median distance.

    The median is that of the pairs of different stimuli, so the kernel does not depend on the size of the activity.
    Where half of the pairs or more are alike it is 0, there is no scale, and the result is 1 everywhere.
    """
    xp = array_namespace(activity)
    squares = squared_euclidean(activity)
    ordered = xp.sort(pairs_of(xp.sqrt(xp.where(squares > 0, squares, xp.zeros_like(squares)))), axis=-1)
    m = ordered.shape[-1]
    median = ((ordered[..., (m - 1) // 2] + ordered[..., m // 2]) / 2)[..., None, None]
    variance = 2 * (width * median) ** 2
    kernel = xp.exp(-squares / xp.where(variance > 0, variance, xp.ones_like(variance)))
    return xp.where(variance > 0, kernel, xp.ones_like(kernel))


def gaussian_cka(name: str, *, width: float = 1.0, debiased: bool = True) -> Similarity:
    """Return CKA with a Gaussian kernel, debiased (HSIC_1) or as first published.

    Wide kernels approach linear CKA, narrow ones ask only which stimuli are nearest.

    Parameters
    ----------
    name : str
        Names the variables in the scores Dataset.
    width : float
        Standard deviation of the kernel in median distances between stimuli.
    debiased : bool
        Whether unrelated activity of many units gives about 0.

    Raises
    ------
    ArgumentError
        If the width is not above 0.

    References
    ----------
    Kornblith, S. et al. (2019). Similarity of neural network representations revisited. ICML. arXiv:1905.00414
    """
    if not width > 0:
        raise ArgumentError(f"got width={width}, expected one above 0, in median distances between stimuli")
    relation = partial(_u_centred if debiased else _centred, width=width)
    # Pairs of a stimulus with its own copies would undo the debiasing, so samples weigh the pairs of the whole data,
    # under its kernel: the width is a choice, and no estimate that has to be made anew.
    sample: Literal["pairs", "stimuli"] = "pairs" if debiased else "stimuli"
    least = 4 if debiased else 3
    return Similarity(name, relation, minimum_stimuli=least, sample=sample, chance_is_zero=debiased)


def _u_centred(activity: Any, *, width: float) -> Any:
    return u_centred(gaussian_gram(activity, width=width))


def _centred(activity: Any, *, width: float) -> Any:
    return whiten(-2 * gaussian_gram(activity, width=width))


rbf_cka = gaussian_cka("rbf_cka")
"""Debiased CKA with a Gaussian kernel one median distance wide."""

rbf_cka_biased = gaussian_cka("rbf_cka_biased", debiased=False)
"""The same as first published, for checks."""
