"""What every measure of likeness has to keep: its own score, symmetry, claimed invariances and one it must not have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from cortexres.compare.measures.catalogue import METRICS
from cortexres.compare.measures.measure import Comparison
from cortexres.compare.measures.shape_metrics import shape_metric
from cortexres.errors import ArgumentError

N, P, Q = 60, 20, 12


def activities(n: int = N, p: int = P, q: int = Q) -> tuple[np.ndarray, np.ndarray]:
    """Return activities (n, p) and (n, q) that have four directions in common."""
    rng = np.random.default_rng(7)
    z = rng.standard_normal((n, 4))
    x = z @ rng.standard_normal((4, p)) + rng.standard_normal((n, p)) + rng.standard_normal(p)
    y = z @ rng.standard_normal((4, q)) + rng.standard_normal((n, q)) + rng.standard_normal(q)
    return x, y


def rotated(x: np.ndarray) -> np.ndarray:
    return x @ np.linalg.qr(np.random.default_rng(1).standard_normal((x.shape[1],) * 2))[0]


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "scale": lambda x: 3.7 * x,
    "shift of each unit": lambda x: x + np.random.default_rng(2).standard_normal(x.shape[1]) * 5,
    "order of units": lambda x: x[:, ::-1],
    "rotation": rotated,
    "invertible map": lambda x: rotated(x * np.geomspace(0.1, 10.0, x.shape[1])),
    "size of each pattern": lambda x: x * np.random.default_rng(3).uniform(0.3, 2.0, (len(x), 1)),
    "offset of each pattern": lambda x: x + np.random.default_rng(4).standard_normal((len(x), 1)),
}


@dataclass(frozen=True)
class Claims:
    """What does not change the score, what must, and what the score of an activity with itself is."""

    same: tuple[str, ...]
    other: tuple[str, ...]
    own: float = 1.0
    symmetric: bool = True
    few_stimuli: bool = True  # defined where units outnumber stimuli


GEOMETRY = ("scale", "shift of each unit", "order of units", "rotation")
EUCLIDEAN = Claims(GEOMETRY, ("invertible map", "size of each pattern", "offset of each pattern"))
LINEAR = (*GEOMETRY, "invertible map")
CLAIMS = {
    **dict.fromkeys(
        (
            "linear_cka",
            "linear_cka_biased",
            "linear_cka_minibatch",
            "rbf_cka",
            "rbf_cka_biased",
            "rsa",
            "rsa_spearman",
            "rsa_rho_a",
            "rsa_tau_a",
            "rsa_tau_b",
            "rsa_cosine",
            "rsa_whitened",
            "rsa_whitened_cosine",
            "rsa_crossnobis",
            "bures",
        ),
        EUCLIDEAN,
    ),
    "rsa_correlation": Claims(
        ("scale", "order of units", "size of each pattern", "offset of each pattern"),
        ("shift of each unit", "invertible map"),
    ),
    # The units are the sample, so their axes matter; and with the same sample on both sides it is above 1.
    "linear_cka_sampled": Claims(
        ("scale", "shift of each unit", "order of units"), ("rotation", "invertible map"), own=np.inf
    ),
    "svcca_5": Claims(GEOMETRY, ("invertible map", "size of each pattern")),
    "mean_cca2": Claims(LINEAR, ("size of each pattern",), few_stimuli=False),
    "mean_cca2_ridge_0.1": Claims(GEOMETRY, ("invertible map", "size of each pattern"), own=-np.inf),
    # The weights are sums over the units of one side, so their axes matter, and the sides differ.
    "pwcca": Claims(
        ("scale", "shift of each unit", "order of units"),
        ("rotation", "invertible map", "size of each pattern"),
        symmetric=False,
        few_stimuli=False,
    ),
    "procrustes_angle": Claims(GEOMETRY, ("invertible map", "size of each pattern"), own=0.0),
    "procrustes_distance": Claims(GEOMETRY[1:], ("scale", "invertible map"), own=0.0),
    # Between whitening and not, the sizes of both sides matter.
    "shape_angular_0.5": Claims(GEOMETRY[1:], ("scale", "invertible map"), own=0.0),
    "shape_euclidean_0.5": Claims(GEOMETRY[1:], ("scale", "invertible map"), own=0.0),
    "shape_angular_0": Claims(LINEAR, ("size of each pattern",), own=0.0, few_stimuli=False),
}

# Alpha 0 takes all linear maps away, which no other alpha does, and the Euclidean distance is another function.
EVERY = (*METRICS, shape_metric(0.0), shape_metric(0.5, distance="euclidean"))
every = pytest.mark.parametrize("metric", EVERY, ids=lambda m: m.name)


def test_every_measure_has_claims_and_a_name_of_its_own() -> None:
    names = [metric.name for metric in EVERY]
    assert sorted(names) == sorted(CLAIMS)


@every
def test_with_itself(metric: Comparison) -> None:
    x, _ = activities()
    claims = CLAIMS[metric.name]
    own = float(metric.scores(metric.prepared(x[None]), metric.prepared(x[None]))[0, 0])
    if np.isinf(claims.own):
        assert np.sign(claims.own) * (own - 1) > 0
    else:
        assert own == pytest.approx(claims.own, abs=1e-7)
        assert claims.own == (0.0 if metric.orientation == "distance" else 1.0)


@every
def test_symmetry(metric: Comparison) -> None:
    x, y = activities()
    there, back = metric(x, y), metric(y, x)
    if CLAIMS[metric.name].symmetric:
        assert there == pytest.approx(back, abs=1e-10)
    else:
        assert abs(there - back) > 1e-3


@every
def test_claimed_and_forbidden_invariances(metric: Comparison) -> None:
    x, y = activities()
    claims = CLAIMS[metric.name]
    before = metric(x, y)
    for change in claims.same:
        assert metric(CHANGES[change](x), y) == pytest.approx(before, abs=1e-9), change
    assert claims.other
    for change in claims.other:
        assert abs(metric(CHANGES[change](x), y) - before) > 1e-3, change


@every
def test_the_pairing_of_stimuli_matters_and_their_order_does_not(metric: Comparison) -> None:
    x, y = activities()
    order = np.random.default_rng(5).permutation(N)
    assert metric(x[order], y[order]) == pytest.approx(metric(x, y), abs=1e-9)
    worse = metric(x[order], y) - metric(x, y)
    assert (worse > 0.02) if metric.orientation == "distance" else (worse < -0.02)


@every
def test_reordered_is_what_would_be_prepared(metric: Comparison) -> None:
    x, y = activities()
    order = np.random.default_rng(6).permutation(N)
    moved = metric.reordered(metric.prepared(y[None]), order)
    expected = metric(x, y[order])
    assert float(metric.scores(metric.prepared(x[None]), moved)[0, 0]) == pytest.approx(expected, abs=1e-10)
    tensor = metric.reordered(metric.prepared(torch.from_numpy(y[None])), torch.from_numpy(order))
    prepared = metric.prepared(torch.from_numpy(x[None]))
    assert float(metric.scores(prepared, tensor)[0, 0]) == pytest.approx(expected, abs=1e-10)


@every
def test_a_map_is_its_cells(metric: Comparison) -> None:
    rng = np.random.default_rng(8)
    x, y = activities(20, 6, 5)
    a, b = x + 0.5 * rng.standard_normal((3, 20, 6)), y + 0.5 * rng.standard_normal((2, 20, 5))
    scores = metric.scores(metric.prepared(a), metric.prepared(b))
    assert scores.shape == (3, 2)
    np.testing.assert_allclose(scores, [[metric(one, other) for other in b] for one in a], atol=1e-10)


@every
def test_torch_says_the_same_as_numpy(metric: Comparison) -> None:
    x, y = activities()
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    assert metric(*tensors) == pytest.approx(metric(x, y), abs=1e-10)
    scale = abs(metric(x, y)) + 1
    assert metric(*(tensor.float() for tensor in tensors)) == pytest.approx(metric(x, y), abs=2e-4 * scale)


@every
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device(metric: Comparison) -> None:
    x, y = activities()
    a, b = (metric.prepared(torch.from_numpy(side[None]).cuda()) for side in (x, y))
    scores = metric.scores(a, metric.reordered(b, torch.arange(N, device="cuda")))
    assert scores.device.type == "cuda"
    assert float(scores[0, 0]) == pytest.approx(metric(x, y), abs=1e-8)


@every
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_constant_activity_is_undefined(metric: Comparison, value: float) -> None:
    x, y = activities()
    constant = np.tile(value + np.linspace(0.0, value, P), (N, 1))
    for convert in (np.asarray, torch.from_numpy):
        assert np.isnan(metric(convert(constant), convert(y)))
        assert np.isnan(metric(convert(y), convert(constant)))
        maps = metric.scores(metric.prepared(convert(np.stack([x, constant]))), metric.prepared(convert(y[None])))
        assert np.isfinite(float(maps[0, 0]))
        assert np.isnan(float(maps[1, 0]))


@every
def test_what_is_not_a_number_spoils_its_own_row_only(metric: Comparison) -> None:
    x, y = activities()
    broken = x.copy()
    broken[3, 2] = np.nan
    for convert in (np.asarray, torch.from_numpy):
        maps = metric.scores(metric.prepared(convert(np.stack([broken, x]))), metric.prepared(convert(y[None])))
        assert np.isnan(float(maps[0, 0]))
        assert float(maps[1, 0]) == pytest.approx(metric(x, y), abs=1e-10)


@every
def test_fewer_stimuli_than_units(metric: Comparison) -> None:
    x, y = activities(15, 70, 90)
    score = metric(x, y)
    if CLAIMS[metric.name].few_stimuli:
        assert np.isfinite(score)
        order = np.random.default_rng(9).permutation(15)
        worse = metric(x, y[order]) - score
        assert worse > 0 if metric.orientation == "distance" else worse < 0
    else:
        assert np.isnan(score)


@every
def test_too_few_stimuli_are_refused_and_whole_numbers_taken(metric: Comparison) -> None:
    x, y = activities()
    fewest = metric.minimum_stimuli
    assert fewest >= 2
    with pytest.raises(ArgumentError, match=f"got {fewest - 1} stimuli, expected at least {fewest}"):
        metric(x[: fewest - 1], y[: fewest - 1])
    with pytest.raises(ArgumentError, match=r"expected \(n, p\) and \(n, q\)"):
        metric(x, y[:-1])
    whole = np.round(10 * x).astype(int)
    assert metric(whole, y) == pytest.approx(metric(whole.astype(float), y), abs=1e-10)
