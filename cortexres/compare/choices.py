"""What many functions here let the caller choose: measures, splits of the trials, a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cortexres.compare.measures.measure import Comparison
from cortexres.errors import ArgumentError


def check_metrics(metrics: Sequence[Comparison]) -> None:
    """Return nothing if there are measures, each of another name.

    Raises
    ------
    ArgumentError
        If not.
    """
    names = [metric.name for metric in metrics]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"got metrics {names}, expected at least one and each name once")


def check_splits(splits: int) -> None:
    """Return nothing if there is a split of the trials.

    Raises
    ------
    ArgumentError
        If not.
    """
    if splits < 1:
        raise ArgumentError(f"got splits={splits}, expected at least 1 random split of the trials")


def seeded(rng: int | np.random.Generator | None) -> tuple[int | None, np.random.Generator]:
    """Return the seed to record, None where there is none to tell, and the generator that draws."""
    seed = int(rng) if isinstance(rng, int | np.integer) else None
    return seed, np.random.default_rng(rng)
