"""Ceilings over subjects are those of rsatoolbox, where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from cortexres.compare.ceilings import dissimilarity_ceiling
from cortexres.compare.measures.kendall_rsa import tau_a, tau_b
from cortexres.compare.measures.pair_comparisons import (
    cosine,
    pearson,
    rho_a,
    spearman,
    whitened_cosine,
    whitened_pearson,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # the peer's own
METHODS = {
    "corr": pearson,
    "cosine": cosine,
    "spearman": spearman,
    "rho-a": rho_a,
    "tau-a": tau_a,
    "kendall": tau_b,
}
WHITENED = {"cosine_cov": whitened_cosine, "corr_cov": whitened_pearson}


def bounds(method: str, comparison: Any) -> tuple[list[float], list[float]]:
    """Return lower and upper bound by the peer and by ours, or skip."""
    rsatoolbox = pytest.importorskip("rsatoolbox")
    rng = np.random.default_rng(0)
    rdms = rsatoolbox.rdm.RDMs(rng.random(45) + rng.random((5, 45)))
    theirs = rsatoolbox.inference.boot_noise_ceiling(rdms, method=method, rdm_descriptor="index")
    movie = xr.DataArray(rdms.get_matrices(), dims=("subject", "stimulus", "stimulus_2"))
    ours = dissimilarity_ceiling(movie, comparison=comparison)
    return list(theirs), [float(ours["lower"]), float(ours["upper"])]


@pytest.mark.parametrize("method", METHODS)
def test_bounds_are_those_of_rsatoolbox(method: str) -> None:
    theirs, ours = bounds(method, METHODS[method])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", WHITENED)
def test_whitened_bounds_are_a_little_above_those_of_rsatoolbox(method: str) -> None:
    # The peer brings subjects to the same plain size, so that its bound is not the most that a model can reach.
    theirs, ours = bounds(method, WHITENED[method])
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert ours[1] > theirs[1]
