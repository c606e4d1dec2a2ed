"""The figures that trained digits networks gave when they were first measured, row by row.

`test_digits_networks` holds the limits of the claims; here are the numbers, with room for other seeds, draws and
machines. Each is a mean over seeds, of networks of 18 and of 54 blocks.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from digits_networks import train_and_test_digits, trained

from cortexres import diagnostics

pytestmark = pytest.mark.slow

SEEDS = range(3)
Range = tuple[float, float]
Row = dict[str, Range]
UNTIED, TIED, UNTIED54, TIED54, PLAIN = (
    f"digits_{name}" for name in ("untied", "tied", "untied54", "tied54", "plain")
)


@cache
def unseen() -> xr.Dataset:
    return train_and_test_digits()[1]


def mean_over_seeds(measured: Callable[..., Any], name: str) -> np.ndarray:
    return np.mean([measured(trained(name, seed), seed) for seed in SEEDS], axis=0)


def check(rows: Row, measured: Callable[..., Any], name: str) -> None:
    """Check the means over seeds of several figures, each with the range it is to be in."""
    for (figure, (low, high)), value in zip(rows.items(), mean_over_seeds(measured, name), strict=True):
        assert low <= value <= high, f"{figure} of {name}: {value:.3g}"


def left(name: str) -> dict[str, Any]:
    """Return what a lesion leaves in a network: the state, where there are no shortcuts."""
    return {"leaves": "state"} if name == PLAIN else {}


# Veit, Wilber & Belongie: errors in percent


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (UNTIED, {"whole": (1, 2.5), "without one": (1, 2.5), "without the first": (60, 95)}),
        (TIED, {"whole": (1, 2.5), "without one": (1, 2.5), "without the first": (35, 90)}),
        (PLAIN, {"whole": (20, 60), "without one": (82, 95), "without the worst": (90, 100)}),
        (UNTIED54, {"whole": (0.5, 2.5), "without one": (0.5, 2.5), "without the first": (60, 95)}),
        (TIED54, {"whole": (0.5, 2.5), "without one": (0.5, 2.5), "without the first": (40, 90)}),
    ],
)
def test_errors_without_one_block(name: str, rows: Row) -> None:
    def measured(network: Any, seed: int) -> list[float]:
        found = diagnostics.lesion(network, unseen(), **left(name))
        return [100 * float(value) for value in (found["intact_error"], found["error"].median(), found["error"].max())]

    check(rows, measured, name)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (UNTIED, {"5": (5, 40), "10": (65, 92)}),
        (TIED, {"5": (3, 40), "10": (65, 92)}),
        (PLAIN, {"5": (85, 95), "10": (85, 95)}),
        (UNTIED54, {"5": (1, 5), "10": (2, 20), "20": (20, 80)}),
        (TIED54, {"5": (0.8, 5), "10": (2, 20), "20": (30, 80)}),
    ],
)
def test_errors_without_several_blocks(name: str, rows: Row) -> None:
    def measured(network: Any, seed: int) -> np.ndarray:
        counts = [int(count) for count in rows]
        found = diagnostics.lesion_random(network, unseen(), counts=counts, rng=seed, **left(name))
        return 100 * found["error"].median("draw").to_numpy()

    check(rows, measured, name)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (UNTIED, {"tau above 0.8": (1, 4), "tau of 0.4 to 0.8": (8, 40)}),
        (TIED, {"tau above 0.8": (0.8, 4), "tau of 0.4 to 0.8": (3, 30)}),
        (PLAIN, {"tau above 0.8": (80, 95), "tau of 0.4 to 0.8": (80, 95)}),
        (UNTIED54, {"tau above 0.8": (1, 4), "tau of 0.4 to 0.8": (5, 30)}),
        (TIED54, {"tau above 0.8": (0.8, 4), "tau of 0.4 to 0.8": (1.3, 15)}),
    ],
)
def test_errors_in_another_order(name: str, rows: Row) -> None:
    def measured(network: Any, seed: int) -> np.ndarray:
        return 100 * diagnostics.reorder(network, unseen(), rng=seed)["error"].median("draw").to_numpy()

    check(rows, measured, name)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (UNTIED, {"lower": (1, 3), "upper": (8, 11), "mean": (4.5, 6.5), "slope": (-0.42, -0.26)}),
        (TIED, {"lower": (1, 2), "upper": (5, 8), "mean": (2.7, 4.3), "slope": (-0.8, -0.55)}),
        (UNTIED54, {"lower": (4, 7), "upper": (15, 19), "mean": (10.5, 13.5), "slope": (-0.7, -0.5)}),
        (TIED54, {"lower": (1, 2), "upper": (6, 9), "mean": (3.0, 4.6), "slope": (-1.4, -0.9)}),
    ],
)
def test_lengths_of_paths(name: str, rows: Row) -> None:
    def measured(network: Any, seed: int) -> list[float]:
        found = diagnostics.path_spectrum(network, unseen().isel(stimulus=slice(0, 200)), draws=1, rng=seed)
        return [float(found[key]) for key in ("lower", "upper", "mean_length", "slope")]

    check(rows, measured, name)


# Greff, Srivastava & Schmidhuber; Jastrzebski et al.: at the first, the middle and the last block


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (UNTIED, [0.42, 0.29, 0.10]),
        (TIED, [0.52, 0.26, 0.03]),
        (UNTIED54, [0.39, 0.30, 0.05]),
        (TIED54, [0.43, 0.21, 0.01]),
    ],
)
def test_bias_of_the_estimates(name: str, expected: list[float]) -> None:
    def measured(network: Any, seed: int) -> np.ndarray:
        bias = diagnostics.estimation_error(network, unseen())["relative_bias"].to_numpy()
        return bias[[1, len(bias) // 2, -2]]

    np.testing.assert_allclose(mean_over_seeds(measured, name), expected, atol=0.08)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (UNTIED, [-0.03, -0.12, -0.11]),
        (TIED, [-0.11, -0.35, -0.45]),
        (TIED54, [-0.19, -0.46, -0.49]),
    ],
)
def test_cosines_with_the_gradient(name: str, expected: list[float]) -> None:
    def measured(network: Any, seed: int) -> np.ndarray:
        cosine = diagnostics.refinement_cosine(network, unseen())["cosine"].to_numpy()
        return cosine[[0, len(cosine) // 2, -1]]

    np.testing.assert_allclose(mean_over_seeds(measured, name), expected, atol=0.12)


def test_the_script_prints_a_row_per_figure() -> None:
    script = Path(__file__).parents[1] / "simulations" / "residual_theory.py"
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True)
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in done.stdout.splitlines()}
    assert len(rows) == 12
    assert float(rows["error"][0].split()[0]) < 2.5
