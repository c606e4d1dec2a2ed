"""The 8 x 8 handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from cortexres.errors import ArgumentError

SOURCE = (
    "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998), UCI, https://doi.org/10.24432/C50P49,"
    " test set as in sklearn.datasets.load_digits; 8 x 8 pixels, 0..16 scaled to 0..1"
)


def digits(n: int, *, rng: int | np.random.Generator, exclude: ArrayLike = ()) -> xr.Dataset:
    """Return `n` different digit images, the ten classes as equally often as they can be.

    Any first part of the images is balanced as well.

    Parameters
    ----------
    n : int
        Number of images, 1 to 1797 less those excluded.
    rng : int or numpy.random.Generator
        Seed or generator of the draw.
    exclude : array-like of int
        Ids that are not drawn, such as ``seen.stimulus``, for images that were not used before.

    Returns
    -------
    xarray.Dataset
        ``image`` (stimulus, y, x), 8 x 8, 0..1; the ids of ``stimulus`` are the positions in scikit-learn's set, so
        that an id names the same image always; ``label`` (stimulus) is the digit.

    Raises
    ------
    ArgumentError
        Where `n` is not in range.

    References
    ----------
    Alpaydin E, Kaynak C (1998). Optical Recognition of Handwritten Digits. https://doi.org/10.24432/C50P49

    Examples
    --------
    >>> digits(20, rng=0).sizes["stimulus"]
    20
    """
    # scikit-learn takes a second to import, and folders and patterns do without it.
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    free = np.setdiff1d(np.arange(len(labels)), np.asarray(exclude, dtype=int))
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= free.size:
        raise ArgumentError(
            f"n is {n!r}, expected 1 to {free.size}: the set has {len(labels)} digits,"
            f" {len(labels) - free.size} of them excluded; ask for fewer"
        )
    ids = _balanced(free, labels[free], n, np.random.default_rng(rng))
    return xr.Dataset(
        {"image": (("stimulus", "y", "x"), images[ids].reshape(-1, 8, 8) / 16.0, {"units": "1"})},
        {"stimulus": ids, "label": ("stimulus", labels[ids])},
        {"source": SOURCE, "title": "handwritten digits"},
    )


def _balanced(ids: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` of `ids` in rounds that take one of each class, in random order, as long as the class lasts."""
    order = rng.permutation(ids.size)
    rounds = np.empty(ids.size, dtype=int)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rounds[members] = np.arange(members.size)
    drawn = order[np.argsort(rounds[order], kind="stable")]
    return np.asarray(ids[drawn[:n]])
