"""What lesions of blocks and perturbations of the circuit at their times do to the end, beside each other."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from cortexres.plots.labels import need_variables, number, p_text
from cortexres.plots.style import BLUE, VERMILION, name_finding, tidy, whole_numbers

MADE_BY = "compare.lesion_profile"


def lesion_profiles(scores: xr.Dataset, ax: Axes) -> Axes:
    """Return `ax` with both profiles over blocks, each on its own scale from 0: what counts is their shape.

    Parameters
    ----------
    scores : Dataset
        From `compare.lesion_profile`.
    ax : matplotlib.axes.Axes
        Where to draw; the brain's scale is on the right.

    Raises
    ------
    ArgumentError
        If there are no profiles.
    """
    need_variables(scores, "two profiles over blocks", MADE_BY, "network_effect", "brain_effect_mapped")
    block = scores["block"].to_numpy()
    other = ax.twinx()
    sides = (
        (ax, "network_effect", "network: change of its last state", VERMILION, "o-", 5),
        (other, "brain_effect_mapped", "brain: change of its end", BLUE, "s--", 9),
    )
    for axes, name, label, colour, style, size in sides:
        values = scores[name].to_numpy()
        # the second's marks are open, so that the first's are seen where both are alike
        axes.plot(block, values, style, color=colour, lw=1.8, ms=size, mfc="none" if axes is other else colour)
        top = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
        axes.set_ylim(0, 1.1 * top if top > 0 else 1.0)
        axes.set_ylabel(label, color=colour)
        axes.tick_params(axis="y", labelcolor=colour)
        tidy(axes)
    other.spines["right"].set_visible(True)
    whole_numbers(ax.xaxis)
    ax.set_xlabel("lesioned block k (brain: perturbed at its time)")
    name_finding(ax, _heading(scores))
    return ax


def _heading(scores: xr.Dataset) -> str:
    parts = []
    for name in ("pearson", "spearman"):
        if name not in scores:
            continue
        beside = [f"ceiling {number(scores[f'{name}_ceiling'])}"] if f"{name}_ceiling" in scores else []
        beside += [text for text in (p_text(scores.get(f"{name}_p")),) if text]
        parts.append(f"{name.capitalize()} {number(scores[name])}" + (f" ({', '.join(beside)})" if beside else ""))
    return ", ".join(parts) or "Effects of lesions and perturbations"
