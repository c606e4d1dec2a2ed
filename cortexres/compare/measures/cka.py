"""Linear centred kernel alignment, debiased and biased, as cosines of centred Gram matrices."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from cortexres.compare.measures.relations import Similarity, centre_stimuli, drop_rounding, off_diagonal


def linear_gram(activity: Any) -> Any:
    """Return Gram matrices (..., n, n) of activity (..., n, p) minus its mean over stimuli."""
    xp = array_namespace(activity)
    x = centre_stimuli(activity)
    return xp.matmul(x, xp.matrix_transpose(x))


def u_centred(gram: Any) -> Any:
    """Return U-centred matrices (..., n, n) of Gram matrices, with zero diagonals.

    The inner product of two of them is n (n - 3) times the unbiased estimate HSIC_1 of Song et al. (2012):
    for hollow K, K~_ij = K_ij - sum_l K_il / (n-2) - sum_k K_kj / (n-2) + sum_kl K_kl / ((n-1)(n-2)) off the
    diagonal.

    References
    ----------
    Song, L. et al. (2012). Feature selection via dependence maximization. JMLR 13, 1393-1434.
    Székely, G. J., Rizzo, M. L. (2014). Partial distance correlation with methods for dissimilarities. Annals
    of Statistics 42, 2382-2412. doi:10.1214/14-AOS1255
    """
    xp = array_namespace(gram)
    n = gram.shape[-1]
    hollow = off_diagonal(gram)
    rows = xp.sum(hollow, axis=-1, keepdims=True) / (n - 2)
    total = xp.sum(rows, axis=-2, keepdims=True) / (n - 1)
    centred = off_diagonal(hollow - rows - xp.matrix_transpose(rows) + total)
    return drop_rounding(centred, xp.max(xp.abs(hollow), axis=(-2, -1), keepdims=True))


def u_centred_gram(activity: Any) -> Any:
    """Return the U-centred Gram matrices (..., n, n) of activity (..., n, p)."""
    return u_centred(linear_gram(activity))


linear_cka = Similarity("linear_cka", u_centred_gram, minimum_stimuli=4)
"""Debiased linear CKA (Kornblith et al. 2019 with HSIC_1): about 0 for unrelated activity, also below 0.

References
----------
Kornblith, S. et al. (2019). Similarity of neural network representations revisited. ICML. arXiv:1905.00414
Murphy, A. et al. (2024). Correcting biased centered kernel alignment measures. arXiv:2405.01012
"""

linear_cka_biased = Similarity(
    "linear_cka_biased", linear_gram, minimum_stimuli=2, sample="stimuli", chance_is_zero=False
)
"""Linear CKA as first published, for checks: it tends to 1 for unrelated activity of many units."""
