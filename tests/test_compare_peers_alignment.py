"""Warping against tslearn and dtaidistance, where they are installed."""

from __future__ import annotations

import numpy as np
import pytest

from cortexres.compare.alignment.warping import warping_runs, warping_shares


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", [(30, 10), (100, 10), (200, 40)])
def test_path_and_distance_are_those_of_tslearn(shape: tuple[int, int]) -> None:
    metrics = pytest.importorskip("tslearn.metrics")
    rng = np.random.default_rng(0)
    x, y = (np.cumsum(rng.standard_normal((n, 3)), axis=0) for n in shape)
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    path, distance = metrics.dtw_path(x, y)
    runs = warping_runs(cost[None])
    assert np.sqrt(runs.totals[0]) == pytest.approx(distance, abs=1e-9)
    assert list(zip(*runs.path(0), strict=True)) == [tuple(step) for step in path]
    path, total = metrics.dtw_path_from_metric(cost, metric="precomputed")
    assert runs.totals[0] == pytest.approx(total, abs=1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_expected_path_and_soft_distance_are_those_of_tslearn(gamma: float) -> None:
    metrics = pytest.importorskip("tslearn.metrics")
    rng = np.random.default_rng(1)
    x, y = (np.cumsum(rng.standard_normal((n, 3)), axis=0) for n in (40, 12))
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    expected, distance = metrics.soft_dtw_alignment(x, y, gamma=gamma)
    shares, totals = warping_shares(cost[None], gamma)
    assert totals[0] == pytest.approx(distance, abs=1e-9)
    np.testing.assert_allclose(shares[0], expected, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_penalised_distance_is_that_of_dtaidistance(penalty: float) -> None:
    dtw = pytest.importorskip("dtaidistance.dtw")
    rng = np.random.default_rng(2)
    x, y = (np.cumsum(rng.standard_normal(n)) for n in (60, 15))
    runs = warping_runs(((x[:, None] - y[None]) ** 2)[None], penalty=penalty**2)
    assert np.sqrt(runs.totals[0]) == pytest.approx(dtw.distance(x, y, penalty=penalty), abs=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_subsequence_matching_is_that_of_tslearn() -> None:
    metrics = pytest.importorskip("tslearn.metrics")
    rng = np.random.default_rng(3)
    long, short = (np.cumsum(rng.standard_normal((n, 2)), axis=0) for n in (50, 8))
    _, distance = metrics.dtw_subsequence_path(short, long)
    cost = ((long[:, None] - short[None]) ** 2).sum(-1)
    runs = warping_runs(cost[None], open_start=True, open_end=True)
    assert np.sqrt(runs.totals[0]) == pytest.approx(distance, abs=1e-9)
