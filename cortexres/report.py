"""Results -> one self-contained HTML page for a reader who does not know the code."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from numbers import Integral

import jinja2
import xarray as xr

from cortexres import plots
from cortexres.definitions import Circuit
from cortexres.plots import Figure
from cortexres.provenance import indented

TEMPLATE = "report.html.j2"


def render(
    *,
    title: str,
    circuit: Circuit | None,
    stimuli: xr.Dataset | None,
    table: Sequence[Mapping[str, object]],
    figures: Sequence[tuple[str, Figure, str]],
    notes: Sequence[str],
    provenance: str,
) -> str:
    """Return the report as HTML: images inside, no scripts, nothing loaded from elsewhere.

    Every text from outside is escaped: a label of a stranger's file is shown, never run.

    Parameters
    ----------
    title : str
        Heading of the page.
    circuit : Circuit or None
        Whose populations, projections and source are shown; None where it is not known, as for a recording.
    stimuli : Dataset or None
        Shown as thumbnails; None where only their ids are known.
    table : sequence of mappings
        Per model a mapping of column to value; what a row lacks reads "–". Floats get three decimals.
    figures : sequence of (name, Figure, caption)
        The caption says how to read the figure, and what would count against the idea.
    notes : sequence of str
        What this run in particular calls for saying: fallbacks, warnings, what is not claimed.
    provenance : str
        JSON that says what made the results.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cortexres"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    columns = list(dict.fromkeys(column for row in table for column in row))
    return environment.get_template(TEMPLATE).render(
        title=title,
        circuit=circuit,
        n_stimuli=0 if stimuli is None else stimuli.sizes["stimulus"],
        thumbnails=None if stimuli is None else _image(plots.stimulus_sheet(stimuli)),
        columns=columns,
        rows=[[_cell(row.get(column)) for column in columns] for row in table],
        figures=[{"name": name, "image": _image(figure), "caption": text} for name, figure, text in figures],
        notes=list(notes),
        provenance=indented(provenance),
    )


def _image(figure: Figure) -> str:
    """Return the figure as a PNG in base64, for a data URI."""
    return base64.b64encode(plots.png(figure)).decode("ascii")


def _cell(value: object) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "–"
    if isinstance(value, (str, bool)):
        return str(value)
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number):
        return "–"
    return f"{value}" if isinstance(value, Integral) else f"{number:.3f}"
