"""Intervals over stimuli by leaving some out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


def kept(n: int, groups: int) -> Iterator[np.ndarray]:
    """Yield the indices that stay when each of `groups` groups of `n` stimuli is left out.

    Groups are interleaved (i modulo `groups`), so that stimuli sorted by label do not leave a whole label
    out.
    """
    for group in range(groups):
        yield np.flatnonzero(np.arange(n) % groups != group)


def interval(estimate: np.ndarray, left_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high ends of the 95 % delete-a-group jackknife interval about `estimate`.

    Variance (g - 1)/g sum_j (theta_j - mean theta)^2 over g groups, and Student's t with g - 1 degrees of
    freedom. The interval is over stimuli only: trials, connectivity seeds and networks stay as they are. It
    is not clipped to the range of the measure.

    Parameters
    ----------
    estimate : numpy.ndarray
        (...).
    left_out : numpy.ndarray
        (group, ...): the estimate with each group left out; NaN where undefined, which makes the interval
        NaN.
    """
    groups = left_out.shape[0]
    spread = np.sqrt((groups - 1) * left_out.var(axis=0))
    half = stdtrit(groups - 1, (1 + LEVEL) / 2) * spread
    return estimate - half, estimate + half
