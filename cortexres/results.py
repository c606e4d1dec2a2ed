"""The figures of a comparison with their captions, and the report that holds them, written to a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr

from cortexres import io, plots, report
from cortexres.definitions import Circuit
from cortexres.plots import Figure
from cortexres.summary import Row, is_same_circuit

Captioned = tuple[str, Figure, str]
COMPONENTS = ("feedforward", "recurrent_excitatory", "recurrent_inhibitory")

CAPTIONS = {
    "raster_and_rates": (
        "Every dot is a spike. Below, the rates of each population. Activity should be irregular: "
        "vertical stripes would be synchrony, which the mean field does not predict."
    ),
    "rates_against_blocks": (
        "Lines are the circuit, dots the blocks of the network, each at its own time. Nothing was "
        "fitted. Dots off the lines by more than the shading count against the network."
    ),
    "score_map": (
        "How alike block and moment represent the images. If block k is the circuit at k dt, similarity "
        "is high along the dashed line and falls off it; a map that is high everywhere says that the "
        "images differ, not that the dynamics agree."
    ),
    "x_and_f": (
        "The input that the stimulus gives (x) and what recurrence adds (F), in both. They add up in "
        "input, not in rate. F that is small beside x would make the residual view empty."
    ),
    "model_comparison": (
        "The derived network beside trained networks and controls; the black line is what trial noise "
        "leaves to be explained. Trained networks have units of their own, so only the linear map can "
        "score them."
    ),
}


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
    same = is_same_circuit(brain, network)
    drawn: dict[str, Figure] = {}
    if spikes is not None:
        drawn["raster_and_rates"] = plots.raster_and_rates(spikes, brain)
    if same:
        drawn["rates_against_blocks"] = plots.rates_against_blocks(brain, network)
    drawn["score_map"] = plots.score_map(scores, metrics=["linear_cka", "rsa"])
    if same and all(name in side for side in (brain, network) for name in COMPONENTS):
        drawn["x_and_f"] = plots.x_and_f(brain, network)
    if same and models is not None:
        wanted = [name for name in ("r2", "shape_r2", "linear_map_r2") if name in scores]
        drawn["model_comparison"] = plots.model_comparison(models, metrics=wanted)
    return [(name, figure, CAPTIONS[name]) for name, figure in drawn.items()]


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
