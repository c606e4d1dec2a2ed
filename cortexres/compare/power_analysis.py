"""How many stimuli and trials an effect needs, by simulating it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import xarray as xr
from scipy.special import betaincinv

from cortexres.compare.choices import seeded
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance

Simulate = Callable[[int, int, np.random.Generator], tuple[xr.Dataset, xr.Dataset]]
Test = Callable[[xr.Dataset, xr.Dataset, np.random.Generator], float]


def power(
    simulate: Simulate,
    *,
    test: Test,
    stimuli: Sequence[int],
    trials: Sequence[int],
    draws: int = 100,
    level: float = 0.05,
    target: float = 0.8,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return how often a test finds an effect, for numbers of stimuli and trials, over ``n_stimuli``, ``n_trials``.

    - ``power``: share of simulated experiments with a p-value at or below `level`; ``power_low``, ``power_high``: its
      exact 95 % binomial interval (Clopper & Pearson), which is all that the number of draws allows to say.
    - ``p`` (n_stimuli, n_trials, draw): the p-values. An undefined one counts as finding nothing.
    - ``needed_stimuli`` (n_trials): the least of the numbers tried from which on ``power`` reaches `target`; NaN where
      none does.

    Simulate without the effect too: the power must then be the level, or the test cannot be trusted.

    Parameters
    ----------
    simulate : callable
        ``simulate(n_stimuli, n_trials, rng)`` returns a brain and a network Dataset with the effect: a circuit run on
        that many stimuli, and its network, or a published effect size put into noise.
    test : callable
        ``test(brain, network, rng)`` returns a p-value; see `Against`.
    stimuli, trials : sequence of int
        Numbers tried, each increasing.
    draws : int
        Simulated experiments for each pair of numbers.
    level : float
        Significance level, in (0, 1).
    target : float
        Power aimed at, in (0, 1).
    rng : int or numpy.random.Generator, optional
        Every experiment gets generators of its own from it, for the simulation and for the test.

    Raises
    ------
    ArgumentError
        If the numbers do not increase from 1 or more, the level or target is no probability, or what was simulated or
        returned does not fit.
    """
    _check(stimuli, trials, draws, level, target)
    seed, rng = seeded(rng)
    p = np.empty((len(stimuli), len(trials), draws))
    for index in np.ndindex(p.shape):
        n, k = stimuli[index[0]], trials[index[1]]
        for_simulation, for_test = rng.spawn(2)
        pair = simulate(n, k, for_simulation)
        _check_sizes(pair, n, k)
        p[index] = _checked_p(test(*pair, for_test))
    found = np.sum(p <= level, axis=-1)
    share = found / draws
    low, high = _binomial(found, draws)
    undefined = int(np.isnan(p).sum())
    enough = np.logical_and.accumulate(share[::-1] >= target, axis=0)[::-1]
    needed = np.where(enough.any(axis=0), np.asarray(stimuli, dtype=float)[enough.argmax(axis=0)], np.nan)
    missing = "" if enough.any(axis=0).all() else f"none of {list(stimuli)} stimuli reaches a power of {target:g}"
    both = ("n_stimuli", "n_trials")
    variables = {
        "power": _variable(both, share, f"share of experiments with p <= {level:g}"),
        "power_low": _variable(both, low, "lower end of the 95 % binomial interval"),
        "power_high": _variable(both, high, "upper end of the 95 % binomial interval"),
        "p": _variable((*both, "draw"), p, "p-value", f"{undefined} experiments" if undefined else ""),
        "needed_stimuli": _variable(("n_trials",), needed, f"least number from which on power >= {target:g}", missing),
    }
    attrs = {
        "level": level,
        "target": target,
        "draws": draws,
        "cortexres_provenance": provenance(draws=draws, level=level, seed=seed),
    }
    coords = {"n_stimuli": np.asarray(stimuli), "n_trials": np.asarray(trials), "draw": np.arange(draws)}
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _variable(dims: tuple[str, ...], values: np.ndarray, text: str, undefined: str = "") -> xr.Variable:
    return xr.Variable(dims, values, {"units": "1", "long_name": text, "undefined": undefined})


def _binomial(found: np.ndarray, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the exact 95 % interval of a share: nothing found leaves 0, all found leaves 1, as an end."""
    low = np.where(found > 0, betaincinv(np.maximum(found, 1), draws - found + 1, 0.025), 0.0)
    high = np.where(found < draws, betaincinv(found + 1, np.maximum(draws - found, 1), 0.975), 1.0)
    return low, high


def _check(stimuli: Sequence[int], trials: Sequence[int], draws: int, level: float, target: float) -> None:
    for name, numbers in (("stimuli", stimuli), ("trials", trials)):
        if not numbers or numbers[0] < 1 or any(b <= a for a, b in pairwise(numbers)):
            raise ArgumentError(f"got {name}={list(numbers)}, expected one or more increasing numbers from 1 on")
    if draws < 1 or not 0 < level < 1 or not 0 < target < 1:
        raise ArgumentError(
            f"got draws={draws}, level={level:g} and target={target:g}, expected at least 1 draw and a level and a"
            " target in (0, 1)"
        )


def _check_sizes(pair: tuple[xr.Dataset, xr.Dataset], n: int, k: int) -> None:
    brain, network = pair
    got = brain.sizes["stimulus"], brain.sizes["trial"], network.sizes["stimulus"]
    if got != (n, k, n):
        raise ArgumentError(
            f"simulate({n}, {k}, rng) returned a brain with {got[0]} stimuli and {got[1]} trials and a network with"
            f" {got[2]} stimuli, expected the numbers it was called with"
        )


def _checked_p(p: float) -> float:
    if p < 0 or p > 1:
        raise ArgumentError(f"test returned {p:g}, expected a p-value in 0..1, or NaN where it is undefined")
    return float(p)
