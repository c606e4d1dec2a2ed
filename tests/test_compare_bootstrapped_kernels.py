"""Samples of the stimuli leave the debiased Gaussian-kernel CKA as unbiased as it is."""

from __future__ import annotations

import numpy as np

from cortexres.compare.inference.bootstrapped_maps import bootstrap_weights, bootstrapped
from cortexres.compare.measures.kernel_cka import rbf_cka


def test_samples_of_unrelated_activity_scatter_around_zero() -> None:
    """With the pairs of a stimulus and its own copies they would scatter around .92."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        x, y = rng.standard_normal((2, 1, 30, 200))
        found.append(bootstrapped(rbf_cka, x, y, bootstrap_weights(30, draws=50, rng=rng))[:, 0, 0])
    assert abs(np.mean(found)) < 0.03


def test_the_width_is_that_of_the_whole_data() -> None:
    """So that every stimulus once, or a sample without one of them, are kernels that differ in their pairs alone."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((1, 12, 5)), rng.standard_normal((1, 12, 4))
    weights = np.ones((2, 12), dtype=int)
    weights[1, 3] = 0
    whole, without = bootstrapped(rbf_cka, x, y, weights)[:, 0, 0]
    assert abs(whole - rbf_cka(x[0], y[0])) < 1e-12
    kept = np.delete(np.arange(12), 3)
    kernels = []
    for side in (x[0], y[0]):
        distances = np.linalg.norm(side[:, None] - side[None], axis=-1)
        width = np.median(distances[np.triu_indices(12, 1)])
        kernels.append(np.exp(-(distances**2) / (2 * width**2))[np.ix_(kept, kept)])
    hsic = [[_hsic(a, b) for b in kernels] for a in kernels]
    assert abs(without - hsic[0][1] / np.sqrt(hsic[0][0] * hsic[1][1])) < 1e-12


def _hsic(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    """Return Song's HSIC_1, term by term."""
    n = len(k)
    k, l = (m - np.diag(np.diag(m)) for m in (k, l))  # noqa: E741
    terms = np.trace(k @ l) + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 * (k @ l).sum() / (n - 2)
    return float(terms / (n * (n - 3)))
