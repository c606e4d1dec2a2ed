"""Every p-value of `cortexres.compare` where there is nothing to find: a small run of ``benchmarks/calibration.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
LEVELS = (0.05, 0.1, 0.5)
# With 45 tests and three levels, a right test is called wrong by one run in a hundred.
CHANCE = 0.01 / (45 * len(LEVELS))


if BENCHMARKS.is_dir():
    sys.path.append(str(BENCHMARKS))
    from calibration_tests import TESTS
else:
    TESTS = ()


def p_values(test, runs: int) -> np.ndarray:  # noqa: ANN001
    """Return p-values of data sets whose seeds are not those of the benchmark."""
    return np.array([test.p(np.random.default_rng([2, k])) for k in range(runs)])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_test_gives_a_p_value() -> None:
    assert len({test.name for test in TESTS}) == len(TESTS)
    for test in TESTS[::6]:
        assert 0 <= test.p(np.random.default_rng(0)) <= 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("test", [test for test in TESTS if test.kind != "not its null"], ids=lambda test: test.name)
def test_small_p_values_are_as_rare_as_they_say(test) -> None:  # noqa: ANN001
    """No share of p-values at or below a level is farther from it than chance allows; bounds may be below."""
    runs = 150
    p = p_values(test, runs)
    assert not np.isnan(p).any()
    for level in LEVELS:
        count = int(np.sum(p <= level + 1e-9))
        assert stats.binom.sf(count - 1, runs, level) > CHANCE, f"{count} of {runs} at or below {level}"
        if test.kind == "exact":
            assert stats.binom.cdf(count, runs, level) > CHANCE, f"{count} of {runs} at or below {level}"


@pytest.mark.slow
def test_what_is_no_test_of_the_null_is_shown_to_be_none() -> None:
    (test,) = [test for test in TESTS if test.name == "Spearman's own p; unrelated, likeness 3"]
    p = p_values(test, 300)
    assert stats.binom.sf(int(np.sum(p <= 0.05 + 1e-9)) - 1, 300, 0.05) < 0.001
