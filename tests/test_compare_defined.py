"""What is left out of means, maxima and quantiles is NaN and nothing else, and no warning is given where all is NaN."""

from __future__ import annotations

import numpy as np

from cortexres.compare.defined import largest_of_defined, mean_of_defined, quantile_of_defined

VALUES = np.array([[1.0, np.nan, np.nan], [4.0, -2.0, np.nan], [2.5, 6.0, np.nan]])


def test_columns_and_rows_without_their_nan() -> None:
    np.testing.assert_allclose(mean_of_defined(VALUES), [2.5, 2.0, np.nan])
    np.testing.assert_allclose(mean_of_defined(VALUES, axis=1), [1.0, 1.0, 4.25])
    np.testing.assert_allclose(largest_of_defined(VALUES), [4.0, 6.0, np.nan])
    np.testing.assert_allclose(largest_of_defined(VALUES, axis=1), [1.0, 4.0, 6.0])
    np.testing.assert_allclose(quantile_of_defined(VALUES, 0.5), [2.5, 2.0, np.nan])
    np.testing.assert_allclose(quantile_of_defined(VALUES, (0.0, 1.0)), [[1.0, -2.0, np.nan], [4.0, 6.0, np.nan]])


def test_one_row_gives_numbers_and_none_gives_nan() -> None:
    row = np.array([3.0, np.nan, 5.0])
    assert (mean_of_defined(row), largest_of_defined(row), quantile_of_defined(row, 0.0)) == (4.0, 5.0, 3.0)
    for empty in (np.array([]), np.array([np.nan])):
        assert np.isnan(mean_of_defined(empty))
        assert np.isnan(largest_of_defined(empty))
        assert np.isnan(quantile_of_defined(empty, 0.5))


def test_more_dims_are_kept() -> None:
    cube = np.stack([VALUES, VALUES + 1])
    np.testing.assert_allclose(quantile_of_defined(cube, (0.5,))[0], VALUES + 0.5)
    np.testing.assert_allclose(largest_of_defined(cube, axis=0), VALUES + 1)
