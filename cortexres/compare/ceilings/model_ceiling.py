"""What a right model reaches, made of what two halves of the trials say of each other."""

from __future__ import annotations

import numpy as np

from cortexres.compare.measures.measure import Comparison


def reliability_of_all(metric: Comparison, halves: np.ndarray) -> np.ndarray:
    """Return 2 c / (1 + c), by Spearman and Brown, of scores c of halves; NaN where `why_none` says so."""
    if why_none(metric):
        return np.full(np.shape(halves), np.nan)
    corrected: np.ndarray = 2 * halves / np.where(halves <= -1, np.nan, 1 + halves)
    return corrected


def model_ceiling(metric: Comparison, halves: np.ndarray) -> np.ndarray:
    """Return the score of a right model without noise against all trials; NaN where the reliability is not above 0.

    The root of the reliability of all trials, because only one of the two sides has noise.
    """
    reliability = reliability_of_all(metric, np.asarray(halves, dtype=float))
    ceiling: np.ndarray = np.sqrt(np.where(reliability > 0, reliability, np.nan))
    return ceiling


def why_none(metric: Comparison) -> str:
    """Return why the scores of halves say nothing of those of all trials, whatever they are; nothing if they do."""
    if metric.orientation == "distance":
        return "a distance has no Spearman-Brown correction"
    if not metric.chance_is_zero:
        return f"{metric.name} of unrelated activity is not 0 on average, which a Spearman-Brown correction needs"
    return ""
