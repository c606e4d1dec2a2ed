"""Patterns and dynamics against other packages: rsatoolbox, dsa-metric, dimensionality; skipped where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linear_systems import RELAXING, ROTATING, operator, recorded

from cortexres.compare.dynamics.dimensionality import plain_moments, ratio, unbiased_moments
from cortexres.compare.dynamics.generator_distance import generator_distance
from cortexres.compare.dynamics.generators import generators
from cortexres.compare.measures.cca import mean_cca2
from cortexres.compare.measures.shape_metrics import bures, procrustes_angle, procrustes_distance, shape_metric

pytestmark = pytest.mark.filterwarnings("ignore")


def installed(name: str) -> Any:
    return pytest.importorskip(name, exc_type=ImportError)


def activities(seed: int, n: int = 20, p: int = 9, q: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 3))
    return (
        shared @ rng.standard_normal((3, p)) + rng.standard_normal((n, p)),
        shared @ rng.standard_normal((3, q)) + rng.standard_normal((n, q)),
    )


@pytest.mark.parametrize("seed", range(3))
def test_bures_is_rsatoolboxs(seed: int) -> None:
    rdm = installed("rsatoolbox.rdm")
    data = installed("rsatoolbox.data")
    x, y = activities(seed)
    rdms = [rdm.calc_rdm(data.Dataset(side), method="euclidean") for side in (x, y)]
    assert bures(x, y) == pytest.approx(float(np.squeeze(rdm.compare(*rdms, method="bures"))), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_shapes_are_netreps(seed: int) -> None:
    metrics = installed("netrep.metrics")
    x, y = activities(seed, q=9)

    def theirs(alpha: float, method: str) -> float:
        return float(metrics.LinearMetric(alpha=alpha, score_method=method).fit(x, y).score(x, y))

    assert procrustes_angle(x, y) == pytest.approx(theirs(1.0, "angular"), abs=1e-9)
    assert procrustes_distance(x, y) == pytest.approx(theirs(1.0, "euclidean"), abs=1e-9)
    for alpha in (0.0, 0.5):
        assert shape_metric(alpha)(x, y) == pytest.approx(theirs(alpha, "angular"), abs=1e-9)
        ours = shape_metric(alpha, distance="euclidean")(x, y)
        assert ours == pytest.approx(theirs(alpha, "euclidean"), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_canonical_correlations_are_scikit_learns(seed: int) -> None:
    decomposition = installed("sklearn.cross_decomposition")
    x, y = activities(seed, n=60, p=4, q=3)
    model = decomposition.CCA(n_components=3, max_iter=5000, tol=1e-12).fit(x, y)
    first, second = model.transform(x, y)
    theirs = [np.corrcoef(first[:, k], second[:, k])[0, 1] ** 2 for k in range(3)]
    assert mean_cca2()(x, y) == pytest.approx(np.mean(theirs), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_participation_ratio_is_that_of_dimensionality(seed: int) -> None:
    theirs = installed("dimensionality").participation_ratio
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((25, 5)) @ rng.standard_normal((5, 30)) + 3.0
    a = signal + rng.standard_normal((25, 30))
    alone = theirs(a, return_all=True)
    assert ratio(unbiased_moments(a[None], a[None], sampled=True))[0] == pytest.approx(alone["both"], rel=1e-9)
    assert ratio(unbiased_moments(a[None], a[None], sampled=False))[0] == pytest.approx(alone["row"], rel=1e-9)
    assert ratio(plain_moments(a[None]))[0] == pytest.approx(alone["naive"], rel=1e-9)


def test_repeats_are_paired_otherwise_but_estimate_the_same() -> None:
    """dimensionality places the two repeats otherwise in its products: another estimate of the same moments."""
    theirs = installed("dimensionality").participation_ratio
    rng = np.random.default_rng(4)
    off = []
    for _ in range(40):
        signal = rng.standard_normal((25, 5)) @ rng.standard_normal((5, 30)) + 3.0
        a, b = signal + rng.standard_normal((2, 25, 30))
        ours = [float(part[0]) / (30 * 29) for part in unbiased_moments(a[None], b[None], sampled=True)]
        parts = theirs(a, b, return_parts=True)
        off.append([ours[0] - parts["A"], ours[1] - parts["B"]])
    mean, spread = np.mean(off, axis=0), np.std(off, axis=0, ddof=1)
    assert (np.abs(mean) < 4 * spread / np.sqrt(40)).all()
    assert (spread < 0.3).all()


def test_plain_operators_are_those_of_dsa() -> None:
    """Eigenvalues of one step are DMD's, and their distance is DSA's, which is the mean of *squared* distances."""
    dmd, simdist = installed("DSA.dmd"), installed("DSA.simdist")
    spectra, theirs = [], []
    for seed, eigenvalues in enumerate((ROTATING, RELAXING)):
        data = recorded(operator(eigenvalues, np.random.default_rng(seed)), dt=1.0, bins=60)
        states = data["response"].values[:, 0]
        # Differences of successive states move as the states do, without the input, which DSA has no term for.
        model = dmd.DMD(np.diff(states, axis=1), n_delays=1, rank=6, lamb=0.0)
        model.fit()
        theirs.append(model.A_v.double())
        spectra.append(generators(data, rank=6))
        found = spectra[-1]["eigenvalue_real"].values + 1j * spectra[-1]["eigenvalue_imag"].values
        values = np.linalg.eigvals(model.A_v.double().numpy())
        np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(values), atol=2e-3)
    distance = simdist.SimilarityTransformDist(score_method="wasserstein").fit_score(*theirs)
    match = generator_distance(*spectra)["match"].values
    a, b = (s["eigenvalue_real"].values + 1j * s["eigenvalue_imag"].values for s in spectra)
    assert np.mean(np.abs(a - b[match]) ** 2) == pytest.approx(float(distance), rel=0.05)
