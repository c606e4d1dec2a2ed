"""The brain Dataset of a recording: values of all trials sorted by stimulus, with what is known of the units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres.io.event_windows import Array, EventBins, covered, warn_of_uncovered
from cortexres.io.shown_stimuli import ShownStimuli, shown_stimuli
from cortexres.provenance import provenance
from cortexres.schema import BRAIN_DIMS, check_brain

UNKNOWN = "recorded"
TAKEN = ("response", "stimulus", "trial", "time", "unit", "label")  # names that the Dataset has for something else


@dataclass(frozen=True)
class Source:
    """Values of a recording.

    Parameters
    ----------
    observed_ms : array (`interval`, 2)
        When it was observed.
    units : str
        Units of the values.
    labels : mapping of str to array (`unit`,)
        What is known of the units.
    values : callable
        Values (event, time, unit) in bins around the onsets (ms).
    """

    observed_ms: Array
    units: str
    labels: Mapping[str, NDArray[Any]]
    values: Callable[[Array, EventBins], Array]


def brain_around_events(
    source: Source,
    onsets_ms: Array,
    labels: Sequence[object],
    *,
    bins: EventBins,
    signal: str | None,
    stimuli: Mapping[Any, int] | None,
    rng: int | np.random.Generator | None,
    facts: Mapping[str, object],
) -> xr.Dataset:
    """Return the brain Dataset of what the source holds around the events that it covers; see `recorded_brain`.

    Raises
    ------
    ArgumentError
        Where no event is covered, or stimuli and their trials do not fit; see `shown_stimuli`.
    SchemaError
        Where values are NaN.
    """
    inside = covered(onsets_ms, bins, source.observed_ms)
    warn_of_uncovered(inside, stacklevel=4)
    kept = [label for label, keep in zip(labels, inside, strict=True) if keep]
    shown = shown_stimuli(kept, stimuli=stimuli, rng=rng)
    rows, back = np.unique(shown.rows, return_inverse=True)  # only the trials that are wanted are read
    return recorded_brain(
        source.values(onsets_ms[inside][rows], bins),
        replace(shown, rows=back.reshape(shown.rows.shape)),
        time_ms=bins.centres_ms,
        bin_ms=bins.bin_ms,
        units=source.units,
        signal=signal,
        labels=source.labels,
        facts=facts,
    )


def recorded_brain(
    values: NDArray[Any],
    shown: ShownStimuli,
    *,
    time_ms: NDArray[np.float64],
    bin_ms: float,
    units: str,
    signal: str | None,
    labels: Mapping[str, NDArray[Any]],
    facts: Mapping[str, object],
    relative_to: str | None = None,
) -> xr.Dataset:
    """Return the brain Dataset, response (stimulus, trial, time, unit), that the schema asks for.

    Parameters
    ----------
    values : array (`row`, `time`, `unit`)
        All trials, in the order that `shown.rows` counts.
    shown : ShownStimuli
        The trials of each stimulus.
    time_ms, bin_ms : array (`time`,), float
        Centres and width of the bins, from stimulus onset.
    units, signal : str, str or None
        Units of the values, and what they are where they are no rates.
    labels : mapping of str to array (`unit`,)
        What is known of the units, but for the names that the Dataset itself takes (`TAKEN`); ``population`` is
        "recorded" where it is not among them.
    facts : mapping
        For the provenance: where the data come from and how they were read.
    relative_to : str or None
        What the values are counted from.

    Raises
    ------
    SchemaError
        Where the values do not keep the schema: NaN, for one.
    """
    n = values.shape[-1]
    attrs = {"units": units, "long_name": "recorded rate" if signal is None else signal}
    attrs |= {} if signal is None else {"signal": signal}
    attrs |= {} if relative_to is None else {"relative_to": relative_to}
    coords: dict[str, Any] = {
        "stimulus": shown.ids,
        "trial": np.arange(shown.rows.shape[1]),
        "time": ("time", np.asarray(time_ms, dtype=float), {"units": "ms", "bin_ms": float(bin_ms)}),
        "unit": np.arange(n),
        "population": ("unit", np.full(n, UNKNOWN)),
    }
    if shown.names is not None:
        coords["label"] = ("stimulus", shown.names)
    coords |= {name: ("unit", _plain(column)) for name, column in labels.items() if name not in TAKEN}
    brain = xr.Dataset(
        {"response": (BRAIN_DIMS, values[shown.rows], attrs)},
        coords,
        attrs={"cortexres_provenance": provenance(**facts)},
    )
    return check_brain(brain)


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as they are and all else as text, so that any format can keep it."""
    values = np.asarray(column)
    if values.dtype.kind in "iufb":
        return values
    return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()])
