"""The figures of a comparison with their captions, and the report that holds them, written to a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from cortexres import io, plots, report
from cortexres.definitions import Circuit
from cortexres.summary import Row, is_same_circuit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Captioned = tuple[str, "Figure", str]
COMPONENTS = ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")


def figures(
    brain: xr.Dataset,
    network: xr.Dataset,
    scores: xr.Dataset,
    *,
    models: Mapping[str, xr.Dataset] | None = None,
    spikes: xr.Dataset | None = None,
) -> list[Captioned]:
    """Name, figure and caption of every figure that the Datasets allow, in the order they are read.

    Parameters
    ----------
    brain, network, scores : Dataset
        One comparison.
    models : mapping of str to Dataset, optional
        Scalar scores by model, the network first, for the bars.
    spikes : Dataset, optional
        Of one trial, for the raster.
    """
    found: list[Captioned] = []
    same = is_same_circuit(brain, network)
    if spikes is not None:
        found.append(
            (
                "raster_and_rates",
                plots.raster_and_rates(spikes, brain),
                "Every dot is a spike. Below, the rates of each population. Activity should be irregular: vertical "
                "stripes would be synchrony, which the mean field does not predict.",
            )
        )
    if same:
        found.append(
            (
                "rates_against_blocks",
                plots.rates_against_blocks(brain, network),
                "Lines are the circuit, dots the blocks of the network, each at its own time. Nothing was fitted. Dots "
                "off the lines by more than the shading count against the network.",
            )
        )
    found.append(
        (
            "score_map",
            plots.score_map(scores, metrics=["linear_cka", "rsa"]),
            "How alike block and moment represent the images. If block k is the circuit at k dt, similarity is high along "
            "the dashed line and falls off it; a map that is high everywhere says that the images differ, not that the "
            "dynamics agree.",
        )
    )
    if same and all(name in side for side in (brain, network) for name in COMPONENTS):
        found.append(
            (
                "x_and_f",
                plots.x_and_f(brain, network),
                "The input that the stimulus gives (x) and what recurrence adds (F), in both. They add up in input, not "
                "in rate. F that is small beside x would make the residual view empty.",
            )
        )
    if models and len(models) > 1 and same:
        found.append(
            (
                "model_comparison",
                plots.model_comparison(models, metrics=["r2", "shape_r2", "linear_map_r2"]),
                "The derived network beside trained networks and controls; the black line is what trial noise leaves to "
                "be explained. Trained networks have units of their own, so only the linear map can score them.",
            )
        )
    return found


def write(
    folder: Path,
    *,
    title: str,
    circuit: Circuit | None,
    images: xr.Dataset | None,
    rows: Sequence[Row],
    figures: Sequence[Captioned],
    notes: Sequence[str],
    provenance: str,
) -> Path:
    """The path of ``report.html``, after writing it and each figure as PNG to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure, _ in figures:
        io.write_bytes(folder / f"{name}.png", plots.png(figure))
    page = report.render(
        title=title,
        circuit=circuit,
        stimuli=images,
        table=rows,
        figures=figures,
        notes=notes,
        provenance=provenance,
    )
    path = folder / "report.html"
    io.write_text(path, page)
    return path
