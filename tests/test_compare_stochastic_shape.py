"""Distances of clouds of trials: closed forms, exhaustive search, invariances, and what few trials do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from compare_synthetic import brain
from scipy.linalg import sqrtm

from cortexres.compare.measures.shape_metrics import procrustes_distance
from cortexres.compare.measures.stochastic_shape import gaussian_shape_distance, stochastic_shape
from cortexres.errors import ArgumentError, SchemaError


def clouds(n: int, p: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    spread = rng.standard_normal((n, p, p + 1))
    return 2 * rng.standard_normal((n, p)), spread @ spread.swapaxes(1, 2)


def turned(side: tuple[np.ndarray, np.ndarray], rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return side[0] @ rotation, rotation.T @ side[1] @ rotation


def squared_wasserstein(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the mean over stimuli of the squared distance of the Gaussians as they are, by matrix square roots."""
    total = float(np.sum((a[0] - b[0]) ** 2))
    for x, y in zip(a[1], b[1], strict=True):
        root = np.real(sqrtm(x))
        total += float(np.trace(x) + np.trace(y) - 2 * np.trace(np.real(sqrtm(root @ y @ root))))
    return total / len(a[0])


def test_one_unit_in_closed_form() -> None:
    rng = np.random.default_rng(0)
    a, b = clouds(6, 1, rng), clouds(6, 1, rng)
    widths = (np.sqrt(a[1]) - np.sqrt(b[1])).ravel() ** 2
    expected = min(np.mean((a[0] - sign * b[0]).ravel() ** 2 + widths) for sign in (1, -1))
    assert gaussian_shape_distance(a, b, rng=0) == pytest.approx(np.sqrt(expected), abs=1e-9)


@pytest.mark.parametrize("seed", range(2))
def test_two_units_equal_an_exhaustive_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = clouds(5, 2, rng), clouds(5, 2, rng)

    def at(angle: float, sign: float) -> float:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [1.0, sign]
        return squared_wasserstein(a, turned(b, turn))

    angles = np.linspace(0, 2 * np.pi, 91)
    best = min((at(x, sign), x, sign) for x in angles for sign in (1.0, -1.0))
    fine = min(at(x, best[2]) for x in np.linspace(best[1] - 0.07, best[1] + 0.07, 61))
    assert gaussian_shape_distance(a, b, starts=8, rng=0) == pytest.approx(np.sqrt(fine), rel=1e-5)


def test_rotated_copies_are_the_same_and_the_order_of_arguments_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    a, b = clouds(8, 5, rng), clouds(8, 5, rng)
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    assert gaussian_shape_distance(a, turned(a, rotation), rng=0) == pytest.approx(0.0, abs=1e-6)
    there = gaussian_shape_distance(a, b, starts=10, rng=0)
    assert gaussian_shape_distance(turned(a, rotation), b, starts=10, rng=0) == pytest.approx(there, rel=1e-6)
    assert gaussian_shape_distance(b, a, starts=10, rng=0) == pytest.approx(there, rel=1e-6)
    stretched = turned(a, rotation * np.geomspace(0.2, 5.0, 5))
    assert gaussian_shape_distance(a, stretched, rng=0) > 0.5


def test_triangle_inequality() -> None:
    rng = np.random.default_rng(2)
    sides = [clouds(4, 3, rng) for _ in range(5)]
    d = np.array([[gaussian_shape_distance(x, y, starts=10, rng=0) for y in sides] for x in sides])
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-6).all()


def test_means_alone_are_procrustes_and_noise_alone_does_not_see_the_means() -> None:
    rng = np.random.default_rng(3)
    a, b = clouds(9, 4, rng), clouds(9, 4, rng)
    means = [side[0] - side[0].mean(axis=0) for side in (a, b)]
    only_means = gaussian_shape_distance((means[0], a[1]), (means[1], b[1]), alpha=2.0, rng=0)
    assert only_means == pytest.approx(2**0.5 * procrustes_distance(means[0], means[1]) / 3, abs=1e-9)
    moved = (rng.standard_normal((9, 4)), a[1])
    assert gaussian_shape_distance(a, moved, alpha=0.0, starts=20, rng=0) == pytest.approx(0.0, abs=1e-4)


def test_torch_says_the_same_as_numpy_on_every_device() -> None:
    rng = np.random.default_rng(4)
    a, b = clouds(6, 4, rng), clouds(6, 4, rng)
    expected = gaussian_shape_distance(a, b, rng=0)
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        first, second = (tuple(torch.from_numpy(v).to(device) for v in side) for side in (a, b))
        assert gaussian_shape_distance(first, second, rng=0) == pytest.approx(expected, abs=1e-8)


def recording(trials: int = 8, *, sd: float = 1.0, seed: int = 0, units: int = 5, shared: float = 0.0) -> xr.Dataset:
    """Return a brain whose units share a part of their noise; `seed` draws the noise, never the signal."""
    rng = np.random.default_rng(seed)
    signal = 20.0 + np.random.default_rng(99).standard_normal((7, 3, units))
    data = brain(signal, sd=sd, trials=trials, rng=rng)
    common = shared * rng.standard_normal((7, trials, 3, 1))
    return data.assign(response=(data["response"].dims, data["response"].values + common, {"units": "Hz"}))


def test_correlated_noise_is_told_from_independent_noise_of_the_same_signal() -> None:
    data = recording(60, seed=1, shared=0.0)
    alike = stochastic_shape(data, recording(60, seed=2), rng=0)
    other = stochastic_shape(data, recording(60, seed=3, shared=2.0), rng=0)
    assert (other["stochastic_shape"] > 2 * alike["stochastic_shape"]).all()
    assert (alike["stochastic_shape"] < alike["stochastic_shape_floor"]).all()
    assert other.attrs["n_stimuli"] == 7
    assert other["stochastic_shape"].attrs["units"] == "Hz"
    assert '"seed": 0' in other.attrs["cortexres_provenance"]


def test_recordings_are_taken_as_means_and_covariances_of_their_trials() -> None:
    data, other = recording(9, seed=1), recording(9, seed=2, shared=1.0)
    sides = [side["response"].values[:, :, 1] for side in (data, other)]
    a, b = (
        (trials.mean(axis=1) - trials.mean(axis=(0, 1)), np.stack([np.cov(one, rowvar=False) for one in trials]))
        for trials in sides
    )
    expected = gaussian_shape_distance(a, b, starts=6, rng=0)
    found = stochastic_shape(data.isel(time=[1]), other.isel(time=[1]), starts=6, splits=1, rng=0)
    assert float(found["stochastic_shape"][0]) == pytest.approx(expected, rel=1e-6)


def test_units_may_be_turned_added_and_more_than_trials() -> None:
    data, other = recording(seed=1), recording(seed=2, shared=1.0)
    wide = np.zeros((7, 8, 3, 80))
    wide[..., :5] = other["response"].values
    wide = np.abs(100 + wide @ np.linalg.qr(np.random.default_rng(5).standard_normal((80, 80)))[0])
    bigger = xr.Dataset(
        {"response": (other["response"].dims, wide, {"units": "Hz"})},
        coords={
            "stimulus": np.arange(7),
            "time": other["time"],
            "unit": np.arange(80),
            "population": ("unit", ["E"] * 80),
        },
    )
    here, there = (
        stochastic_shape(data.isel(time=[0]), side.isel(time=[0]), splits=1, rng=0)["stochastic_shape"]
        for side in (other, bigger)
    )
    np.testing.assert_allclose(there, here, rtol=0.01)  # the best of a few descents, not the least of all


def test_seed_gives_the_same_again_and_few_trials_have_no_floor() -> None:
    data, other = recording(3, seed=1), recording(3, seed=2)
    first, second = (stochastic_shape(data, other, rng=3) for _ in range(2))
    xr.testing.assert_equal(first, second)
    assert np.isnan(first["stochastic_shape_floor"]).all()
    assert "4 or more trials" in first["stochastic_shape_floor"].attrs["undefined"]


def test_arguments_are_checked() -> None:
    data = recording()
    with pytest.raises(ArgumentError, match="got 1 trial, expected 2 or more"):
        stochastic_shape(data, data.isel(trial=[0]))
    with pytest.raises(ArgumentError, match="got 3 and 2 time bins that are not the same"):
        stochastic_shape(data, data.isel(time=[0, 1]))
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        stochastic_shape(data, data.isel(stimulus=slice(1, None)))
    with pytest.raises(ArgumentError, match="got alpha=1 and starts=0"):
        stochastic_shape(data, data, alpha=1, starts=0)
    with pytest.raises(ArgumentError, match="got splits=0"):
        stochastic_shape(data, data, splits=0)
    a = clouds(4, 3, np.random.default_rng(0))
    with pytest.raises(ArgumentError, match="got alpha=3 and starts=4"):
        gaussian_shape_distance(a, a, alpha=3)
    with pytest.raises(ArgumentError, match="add silent units to the smaller side"):
        gaussian_shape_distance(a, clouds(4, 2, np.random.default_rng(0)))
