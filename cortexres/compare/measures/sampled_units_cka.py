"""Linear CKA of two populations of which some units were seen: corrected for stimuli and units alike."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from cortexres.compare.measures.cka import u_centred_gram
from cortexres.compare.measures.relations import ROUNDING_OF_RELATIONS, Similarity, centre_stimuli


def size_of_population(activity: Any, matrices: Any) -> Any:
    """Return (..., 1) an estimate of the norms that the U-centred Gram matrices would have with all units seen.

    The square of the norm, a sum over pairs of units of the products of their Gram matrices, counts each unit with
    itself, which two samples of the same population do not have in common. Leaving those terms out,

        |K|^2 -> (|K|^2 - sum_a |K_a|^2) p / (p - 1),

    estimates without bias what a population has; 0 where that is not above 0, or with one unit.
    """
    xp = array_namespace(activity)
    p = activity.shape[-1]
    if p < 2:
        return xp.zeros_like(xp.sum(matrices, axis=(-2, -1)))[..., None]
    whole = xp.sum(matrices * matrices, axis=(-2, -1))
    between = (whole - _own(activity)) * (p / (p - 1))
    rounding = ROUNDING_OF_RELATIONS * xp.finfo(matrices.dtype).eps * whole
    return xp.sqrt(xp.where(between > rounding, between, xp.zeros_like(between)))[..., None]


def _own(activity: Any) -> Any:
    """Return sum_a |K_a|^2 of the U-centred Gram matrices K_a of the single units of activity (..., n, p)."""
    xp = array_namespace(activity)
    x = centre_stimuli(activity)
    n = x.shape[-2]
    second, fourth = xp.sum(x**2, axis=-2), xp.sum(x**4, axis=-2)
    # HSIC_1 of hollow x x', whose rows sum to -x_i^2 as x has no mean.
    own = second**2 * (1 + 1 / ((n - 1) * (n - 2))) - fourth * (1 + 2 / (n - 2))
    return xp.sum(own, axis=-1)


linear_cka_sampled = Similarity(
    "linear_cka_sampled", u_centred_gram, minimum_stimuli=4, size=size_of_population, sample="stimuli"
)
"""Debiased linear CKA, corrected for having seen only some units of both populations (Chun et al. 2025).

`linear_cka` falls as fewer units are seen; this stays, but is noisier and can exceed 1. (Two populations of 4000 whose
CKA is .96: with 120, 30 and 8 units of each, .84, .60 and .30 without and .97, .98 and 1.10 with the correction, with
standard deviations of .02, .08 and .31: below some 20 units it is no use.) It takes the units of the two sides as
independent samples: where both hold the *same* units, it is too high, above 1 for activity with itself. Where a side's
units are all there are (a network), prefer `linear_cka`. NaN where the units of a side have nothing in common: then the
estimate of what its population has is not above 0; or a few hundredths above, and the score any number, such as 6.

References
----------
Chun, C., Canatar, A., Chung, S., Lee, D. (2025). Estimating neural representation alignment from sparsely sampled
inputs and features. arXiv:2502.15104
"""
