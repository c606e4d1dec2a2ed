"""Symbolic regression: a function of one variable to be found from its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cortexres.errors import ArgumentError

CASES = 21
EXACT = 1e-9  # mean absolute error: what rounding leaves of an exact solution, for values of about 1


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A target at evenly spaced places, and the error of programs there.

    Parameters
    ----------
    name : str
        What it is called.
    formula : str
        The function, as people write it.
    cases : ndarray of shape (1, case)
        The places.
    target : ndarray of shape (case,)
        The function's values; errors are in their units.
    rational : bool
        Whether additions, multiplications and divisions of the variable can give the function itself.
    """

    name: str
    formula: str
    cases: np.ndarray
    target: np.ndarray
    rational: bool

    @property
    def scale(self) -> float:
        """Return the mean absolute deviation of the target from its mean: the error of a program that gives the mean.

        The constant of the least error is the median, whose error is at most that.
        """
        return float(np.abs(self.target - self.target.mean()).mean())

    def error(self, outputs: np.ndarray) -> np.ndarray:
        """Return the mean absolute error of outputs (..., case); infinite where one is not a finite number."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.abs(outputs - self.target).mean(axis=-1)
        return np.where(np.isfinite(found), found, np.inf)


Function = Callable[[np.ndarray], np.ndarray]

# name -> formula, function, lowest and highest x, whether it is rational
_PROBLEMS: dict[str, tuple[str, Function, float, float, bool]] = {
    "quartic": ("x⁴ + x³ + x² + x", lambda x: x**4 + x**3 + x**2 + x, -1.0, 1.0, True),
    "sextic": ("x⁶ - 2x⁴ + x²", lambda x: x**6 - 2 * x**4 + x**2, -1.0, 1.0, True),
    "waves": ("sin(x²) cos(x) - 1", lambda x: np.sin(x**2) * np.cos(x) - 1, -1.0, 1.0, False),
    "logarithms": ("ln(x + 1) + ln(x² + 1)", lambda x: np.log(x + 1) + np.log(x**2 + 1), 0.0, 2.0, False),
}
PROBLEMS = tuple(_PROBLEMS)


def problem(name: str, *, cases: int = CASES) -> Problem:
    """Return a problem that is common in the field, by its name.

    Parameters
    ----------
    name : {"quartic", "sextic", "waves", "logarithms"}
        The first two have exact solutions, the others can only be approached.
    cases : int
        How many places there are.

    Returns
    -------
    Problem
        Of that name.

    Raises
    ------
    ArgumentError
        If there is none of that name, or fewer than 2 places are asked for.

    References
    ----------
    Koza (1992), Genetic Programming (the first two); Uy et al. (2011), Semantically-based crossover in genetic
    programming, doi:10.1007/s10710-010-9121-2 (the others)
    """
    if name not in _PROBLEMS:
        raise ArgumentError(f"got the problem {name!r}, expected one of {', '.join(PROBLEMS)}")
    if cases < 2:
        raise ArgumentError(f"got cases={cases}, expected 2 or more")
    formula, function, low, high, rational = _PROBLEMS[name]
    places = np.linspace(low, high, cases)
    # sines and logarithms differ between processors in the last bit, and two programs that tie decide a whole run
    target = np.round(function(places), 12)
    return Problem(name=name, formula=formula, cases=places[None], target=target, rational=rational)
