"""Epochs of MNE (EEG, MEG, intracranial) as a brain Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres.errors import ArgumentError
from cortexres.io.recorded_brain import recorded_brain
from cortexres.io.shown_stimuli import shown_stimuli
from cortexres.schema_rules import join_names

# In which units MNE keeps a kind of channel, and what the kind is called.
KINDS = {
    "eeg": ("V", "EEG"),
    "mag": ("T", "MEG, magnetometers"),
    "grad": ("T/m", "MEG, gradiometers"),
    "ref_meg": ("T", "MEG, reference"),
    "ecog": ("V", "ECoG"),
    "seeg": ("V", "sEEG"),
    "dbs": ("V", "DBS"),
    "csd": ("V/m²", "current source density"),
    "dipole": ("Am", "dipole"),
    "hbo": ("M", "oxyhaemoglobin"),
    "hbr": ("M", "deoxyhaemoglobin"),
}


def from_mne(
    epochs: Any,
    *,
    bin_ms: float | None = None,
    stimulus: str | None = None,
    picks: Any = "data",
    stimuli: Mapping[Any, int] | None = None,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the brain Dataset of `mne.Epochs`: a unit per channel, in the units in which MNE keeps them.

    A stimulus is an event code, with the name that ``epochs.event_id`` gives it as its label. ``population`` is the
    kind of channel. A baseline that was subtracted is kept as ``response.attrs["relative_to"]``.

    Parameters
    ----------
    epochs : mne.Epochs
        Cropped and cleaned; bad epochs dropped.
    bin_ms : float, optional
        Width of the bins, a multiple of the sampling period; samples with 0 <= t < `bin_ms` are one of them, and those
        of incomplete bins at both ends are left out. ``time`` is the mean time of a bin's samples. None keeps them all.
    stimulus : str, optional
        Column of ``epochs.metadata`` that says what was shown, instead of the event codes.
    picks : str or list
        Channels, as MNE takes them; all must be in the same units.
    stimuli : mapping of label to int, optional
        Names of events, or labels of the column, to take, and the stimulus id of each.
    rng : int or numpy.random.Generator, optional
        Draws as many trials of each stimulus as the rarest has; without it unequal numbers are refused.

    Raises
    ------
    ArgumentError
        Where channels are of several units or none that is known, the metadata lack the column, or bins do not fit.
    SchemaError
        Where values are NaN.

    References
    ----------
    Gramfort et al. (2013), Front. Neurosci. 7:267, doi:10.3389/fnins.2013.00267.
    """
    chosen = epochs.copy().load_data().pick(picks)
    kinds = list(chosen.get_channel_types())
    units, signal = _kind(kinds)
    values, time, width = _binned(chosen.get_data(copy=False), chosen.times, float(chosen.info["sfreq"]), bin_ms)
    if stimulus is None:
        names = {code: name for name, code in chosen.event_id.items()}
        labels = [names[code] for code in chosen.events[:, 2].tolist()]
        stimuli = {name: chosen.event_id[name] for name in labels} if stimuli is None else stimuli
    elif chosen.metadata is None or stimulus not in chosen.metadata:
        columns = [] if chosen.metadata is None else list(chosen.metadata)
        raise ArgumentError(f"the epochs have the metadata {join_names(columns)}, expected {stimulus!r}")
    else:
        labels = chosen.metadata[stimulus].tolist()
    return recorded_brain(
        values.swapaxes(1, 2),
        shown_stimuli(labels, stimuli=stimuli, rng=rng),
        time_ms=time,
        bin_ms=width,
        units=units,
        signal=signal,
        labels={"name": np.array(chosen.ch_names), "population": np.array(kinds)},
        facts={"reader": "from_mne", "stimulus": stimulus, "picks": str(picks)},
        relative_to=_baseline(chosen.baseline),
    )


def _kind(kinds: list[str]) -> tuple[str, str]:
    """Return the units and the name of the signal."""
    unknown = sorted({kind for kind in kinds if kind not in KINDS})
    units = sorted({KINDS[kind][0] for kind in kinds if kind in KINDS})
    if unknown or len(units) != 1:
        raise ArgumentError(
            f"got channels of the kinds {join_names(sorted(set(kinds)))}, expected some of {join_names(KINDS)},"
            ' all in the same units; choose with picks, such as picks="mag"'
        )
    return units[0], ", ".join(dict.fromkeys(KINDS[kind][1] for kind in kinds))


def _binned(
    data: NDArray[Any], times_s: NDArray[Any], rate_hz: float, bin_ms: float | None
) -> tuple[NDArray[Any], NDArray[np.float64], float]:
    """Return means (epoch, channel, bin), the mean time of their samples in ms, and the width of a bin."""
    period = 1e3 / rate_hz
    width = period if bin_ms is None else float(bin_ms)
    size = round(width / period)
    if size < 1 or abs(size * period - width) > 1e-6 * width:
        raise ArgumentError(
            f"bin_ms is {width:g} and samples are {period:g} ms apart, expected a multiple of that; give"
            f" {max(size, 1) * period:g}"
        )
    # Bins are counted from the event, so that none has samples of both sides of it.
    sample = np.round(times_s * rate_hz).astype(int)
    first = int(np.flatnonzero(sample % size == 0)[0]) if (sample % size == 0).any() else sample.size
    count = (sample.size - first) // size
    if count < 1:
        raise ArgumentError(f"bin_ms is {width:g} and the epochs hold no whole bin, expected one; give a narrower bin")
    part = slice(first, first + count * size)
    means = data[:, :, part].reshape(*data.shape[:2], count, size).mean(axis=-1)
    return means, np.round(1e3 * times_s[part].reshape(count, size).mean(axis=1), 9), width


def _baseline(baseline: tuple[float, float] | None) -> str | None:
    return None if baseline is None else f"mean from {1e3 * baseline[0]:g} ms to {1e3 * baseline[1]:g} ms"
