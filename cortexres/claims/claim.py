"""What a published claim is here: a sentence, its source, and checks that could fail, also shown to fail without it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import stats

from cortexres.errors import ArgumentError

LEVEL = 0.95  # of the interval of a mean over seeds


@dataclass(frozen=True)
class Published:
    """What the source says.

    Parameters
    ----------
    text : str
        The figure or the direction, with where it is from in the source.
    confirmed : bool
        Whether it was read in the source, or in another text that quotes it. One that was not is printed as such.
    """

    text: str
    confirmed: bool = True

    def __str__(self) -> str:
        return self.text if self.confirmed else f"{self.text} (not confirmed)"


@dataclass(frozen=True, kw_only=True)
class Check:
    """A measured figure and the range that it is in where the claim holds.

    Parameters
    ----------
    figure : str
        Name of the figure, with its unit: ``"cost of deleting one block, median (points of error)"``.
    at_least, at_most : float, optional
        Its range; one of them at least is given.
    of : {"every seed", "mean"}
        What must lie in the range: the figure at every seed, or the 95 % interval (Student's t over seeds) of its
        mean. A direction without a margin, such as a difference above zero, needs the second.
    control : str, optional
        The control for which the same check must fail (see `fails_without`), by its name in `Sample.controls`; None
        where the figure has no meaning without the effect.
    published : Published, optional
        The source's own figure.

    Raises
    ------
    ArgumentError
        If no bound is given, or the lower is above the upper.
    """

    figure: str
    at_least: float | None = None
    at_most: float | None = None
    of: Literal["every seed", "mean"] = "every seed"
    control: str | None = None
    published: Published | None = None

    def __post_init__(self) -> None:
        low, high = self.bounds
        if (self.at_least is None and self.at_most is None) or not low <= high:
            raise ArgumentError(
                f"got at_least={self.at_least} and at_most={self.at_most} for {self.figure!r}, expected one bound, or "
                "two with the lower first"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value that meet the check."""
        return (
            -math.inf if self.at_least is None else self.at_least,
            math.inf if self.at_most is None else self.at_most,
        )

    @property
    def least_seeds(self) -> int:
        """How many seeds are needed to judge it: three for the interval of a mean."""
        return 3 if self.of == "mean" else 1

    def met(self, values: Sequence[float]) -> bool:
        """Return whether the figure, one value per seed, is in the range; a value that is not a number never is.

        Raises
        ------
        ArgumentError
            If there are no values, or the mean is to be judged and there are fewer than three.
        """
        found = np.asarray(values, dtype=float)
        if found.size < self.least_seeds:
            raise ArgumentError(f"got {found.size} seeds for {self.figure!r}, expected {self.least_seeds} or more")
        low, high = interval(found) if self.of == "mean" else (found.min(), found.max())
        return bool(self.bounds[0] <= low and high <= self.bounds[1])  # False where a value is NaN

    def fails_without(self, without: Sequence[float], values: Sequence[float]) -> bool:
        """Return whether the check fails where the effect is removed, by more than one unlucky seed.

        The control must be out of the range at every seed. Where the mean is judged, its interval must not lie in the
        range, and the effect must differ from it, towards the range: the 95 % interval of the paired differences leaves
        out 0. A control that is not a number, such as that of a training that diverged, shows nothing.

        Parameters
        ----------
        without, values : sequence of float
            The figure without and with the effect, one value per seed, in the same order.

        Raises
        ------
        ArgumentError
            As `met`.
        """
        control = np.asarray(without, dtype=float)
        if not np.isfinite(control).all():
            return False
        if self.of == "every seed":
            return bool(((control < self.bounds[0]) | (control > self.bounds[1])).all())
        low, high = interval(np.asarray(values, dtype=float) - control)
        above = self.at_least is not None and low > 0
        below = self.at_most is not None and high < 0
        return not self.met(without) and (above or below)

    def wanted(self) -> str:
        """Return the range as people write it."""
        low, high = (f"{bound:.4g}" for bound in self.bounds)
        if self.at_least is not None and self.at_most is not None:
            text = low if low == high else f"{low} .. {high}"
        else:
            text = f">= {low}" if self.at_most is None else f"<= {high}"
        return f"{text}, mean's interval" if self.of == "mean" else text


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of values (seed,), by Student's t."""
    half = stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published claim and what would show it wrong.

    Parameters
    ----------
    name : str
        Name of its script, as in ``veit_2016``.
    title : str
        What it says, in a few words.
    source : str
        Authors, year, DOI or arXiv number.
    statement : str
        The claim, and what is run here in its place, in a few sentences.
    published : Published
        The figure or direction that stands for it in a table.
    checks : tuple of Check
        What must be found; the first one stands for the claim in a table. One at least has a control.
    seeds : int
        How many seeds are run.
    remarks : str
        What a reader must know to judge the outcome: what differs from the source, what the checks do not show.

    Raises
    ------
    ArgumentError
        If no check has a control: nothing would show that the checks can fail.
    """

    name: str
    title: str
    source: str
    statement: str
    published: Published
    checks: tuple[Check, ...]
    seeds: int = 3
    remarks: str = ""

    def __post_init__(self) -> None:
        if not any(check.control for check in self.checks):
            raise ArgumentError(
                f"got the claim {self.name!r} without a control, expected a check that fails where the effect is gone"
            )
        if self.seeds < 3:
            raise ArgumentError(f"got seeds={self.seeds} for {self.name!r}, expected 3 or more, to have a spread")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How large a claim's experiment is.

    Parameters
    ----------
    large : bool
        The larger setting, for a GPU; the quick one fits two cores.
    device : str
        Where torch computes.
    """

    large: bool = False
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one seed gave.

    Parameters
    ----------
    figures : mapping of str to float
        By name; those of the checks, and others that are worth printing.
    controls : mapping of str to mapping of str to float
        The same figures where the effect is removed, by the name of the control.
    curves : mapping
        Whatever the claim's drawing needs beside, such as arrays.
    """

    figures: Mapping[str, float]
    controls: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curves: Mapping[str, Any] = field(default_factory=dict)
