"""Statistics of spike trains: rates, irregularity, rhythms, synchrony, correlation, bursts.

`trains` sorts the spikes of a simulation or recording into groups of cells; each measure takes one group. `statistics`
is all of them as one Dataset. Runs (trials) are never joined: intervals, bins and spectra lie inside one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.signal import welch

from cortexres.errors import ArgumentError
from cortexres.io.spike_runs import spike_runs

GROUPS = ("all", "population", "unit", "cell_type", "area", "layer")
#: Spikes closer than this are one burst (Naud & Sprekeler 2018, doi:10.1073/pnas.1720995115).
BURST_MS = 16.0

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Trains:
    """The spikes of `cells` cells in `runs` runs, all observed from `t_start_ms` to `t_stop_ms`.

    Parameters
    ----------
    cell, run : array of int (`spike`,)
        Indices from 0, below `cells` and `runs`; spikes are sorted by run, then cell, then time.
    time_ms : array (`spike`,)
        Inside the window.
    cells, runs : int
        Silent ones count.
    t_start_ms, t_stop_ms : float
        The window.
    """

    cell: NDArray[np.int64]
    run: NDArray[np.int64]
    time_ms: Array
    cells: int
    runs: int
    t_start_ms: float
    t_stop_ms: float

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self.t_stop_ms - self.t_start_ms) * 1e-3

    @property
    def train(self) -> NDArray[np.int64]:
        """The number of each spike's train, one train per run and cell."""
        return self.run * self.cells + self.cell


class Bursts(NamedTuple):
    """Events per second and cell, and the share of them that are bursts; an event is a burst or a lone spike."""

    event_rate_Hz: float
    burst_fraction: float


def trains(
    spikes: xr.Dataset,
    *,
    by: str = "population",
    t_start_ms: float | None = 0.0,
    t_stop_ms: float | None = None,
    runs: Sequence[tuple[int, int]] | None = None,
    cells: xr.Dataset | int | None = None,
) -> dict[str, Trains]:
    """The spikes in groups of cells, silent cells among them, by the name of the group.

    Parameters
    ----------
    spikes : Dataset (`spike`,)
        As from `cortexres.circuits.spikes`, or a recording.
    by : str
        One of `GROUPS`; ``"all"`` is one group of that name.
    t_start_ms, t_stop_ms : float or None
        Window from stimulus onset; None for where the simulation began (settling included) or ended.
    runs : sequence of (stimulus, trial) or None
        Runs to take, silent ones among them; None takes those that have spikes.
    cells : Dataset (`cell`,), int or None
        The cells, where the provenance does not tell them; see `cortexres.io.cell_table`.

    Raises
    ------
    SchemaError
        If `spikes` does not keep the schema or does not fit the cells.
    ArgumentError
        If `by` is none of `GROUPS`, or a window, the runs or `cells` are needed and not given, or wrong.
    """
    if by not in GROUPS:
        raise ArgumentError(f"by is {by!r}, expected one of {', '.join(GROUPS)}")
    found = spike_runs(spikes, runs=runs, t_start_ms=t_start_ms, t_stop_ms=t_stop_ms, cells=cells)
    labels = np.full(found.cells.sizes["cell"], "all") if by == "all" else found.cells[by].values.astype(str)
    groups: dict[str, Trains] = {}
    for name in dict.fromkeys(labels.tolist()):
        member = labels == name
        index = np.cumsum(member) - 1
        inside = member[found.row]
        groups[name] = Trains(
            cell=index[found.row[inside]],
            run=found.run[inside],
            time_ms=found.time_ms[inside],
            cells=int(member.sum()),
            runs=len(found.keys),
            t_start_ms=found.t_start_ms,
            t_stop_ms=found.t_stop_ms,
        )
    return groups


def joined(groups: Sequence[Trains]) -> Trains:
    """All cells of several groups as one.

    Raises
    ------
    ArgumentError
        If there is none, or they differ in their runs or window.
    """
    if not groups or len({(g.runs, g.t_start_ms, g.t_stop_ms) for g in groups}) > 1:
        raise ArgumentError(f"got {len(groups)} groups, expected one or more with the same runs and the same window")
    first = np.cumsum([0] + [g.cells for g in groups])
    cell = np.concatenate([g.cell + k for g, k in zip(groups, first, strict=False)])
    run, time = np.concatenate([g.run for g in groups]), np.concatenate([g.time_ms for g in groups])
    order = np.lexsort((time, cell, run))
    return replace(groups[0], cell=cell[order], run=run[order], time_ms=time[order], cells=int(first[-1]))


def of_runs(group: Trains, runs: Sequence[int] | NDArray[np.int64]) -> Trains:
    """The same cells in some of the runs, given by their index, in increasing order.

    Raises
    ------
    ArgumentError
        If there is none, or they are no increasing indices of runs.
    """
    chosen = np.asarray(runs, dtype=np.int64)
    if not chosen.size or (np.diff(chosen) <= 0).any() or chosen[0] < 0 or chosen[-1] >= group.runs:
        raise ArgumentError(f"runs are {chosen.tolist()}, expected increasing indices in 0..{group.runs - 1}")
    kept = np.isin(group.run, chosen)
    run = np.searchsorted(chosen, group.run[kept])
    return replace(group, cell=group.cell[kept], run=run, time_ms=group.time_ms[kept], runs=chosen.size)


def rate_Hz(group: Trains) -> float:
    """The mean rate of all cells, silent ones included."""
    return group.cell.size / (group.cells * group.runs * group.seconds)


def silent_fraction(group: Trains) -> float:
    """The share of trains (cells in a run) without any spike."""
    return 1.0 - np.unique(group.train).size / (group.cells * group.runs)


def interval_cv(group: Trains, *, min_spikes: int = 3) -> float:
    """The coefficient of variation of interspike intervals, averaged over trains; NaN where none has spikes enough.

    Parameters
    ----------
    group : Trains
        One group of cells.
    min_spikes : int
        A train counts from so many spikes on. In a short window few intervals of an irregular train fit, and the
        value is biased low: published values name their threshold (6 in the reference values of the microcircuit).

    Raises
    ------
    ArgumentError
        If `min_spikes` is below 3: two intervals at least have a variation.
    """
    if min_spikes < 3:
        raise ArgumentError(f"min_spikes is {min_spikes}, expected at least 3")
    same, interval = _intervals(group)
    train, interval = group.train[1:][same], interval[same]
    names, index, count = np.unique(train, return_inverse=True, return_counts=True)
    mean = np.bincount(index, interval, minlength=names.size) / count
    variance = np.bincount(index, (interval - mean[index]) ** 2, minlength=names.size) / count
    enough = (count + 1 >= min_spikes) & (mean > 0)
    return float(np.mean(np.sqrt(variance[enough]) / mean[enough])) if enough.any() else float("nan")


def population_rate_Hz(group: Trains, *, bin_ms: float = 1.0) -> Array:
    """The rate of the group in each bin, (run, bin); what is left of the window after the last whole bin is dropped."""
    return _counts(group, bin_ms) / (group.cells * bin_ms * 1e-3)


def peak_rate_Hz(group: Trains, *, bin_ms: float = 5.0) -> float:
    """The largest population rate in any bin of the mean over runs."""
    return float(population_rate_Hz(group, bin_ms=bin_ms).mean(axis=0).max())


def synchrony(group: Trains, *, bin_ms: float = 3.0) -> float:
    """Variance over mean of the group's spike count per bin: 1 for independent Poisson trains; NaN without spikes.

    It grows with the number of cells where they are correlated, so compare groups of one size.
    """
    counts = _counts(group, bin_ms)
    mean = counts.mean()
    return float(counts.var(axis=1).mean() / mean) if mean > 0 else float("nan")


def spectrum(group: Trains, *, bin_ms: float = 1.0, segment_ms: float = 250.0) -> xr.DataArray:
    """The power spectrum of the population rate: Welch's mean over segments (half overlapping) and runs.

    Parameters
    ----------
    group : Trains
        One group of cells.
    bin_ms : float
        Sampling of the population rate; frequencies go to 1 / (2 bin).
    segment_ms : float
        Length of a segment, cut at the window; the resolution is about 1.5 / segment.

    Returns
    -------
    DataArray (`frequency`,)
        One-sided, in Hz^2 / Hz; independent Poisson trains of rate r in n cells have 2 r / n at all frequencies.
    """
    rate = population_rate_Hz(group, bin_ms=bin_ms)
    length = int(min(round(segment_ms / bin_ms), rate.shape[1]))
    if length < 4:
        raise ArgumentError(
            f"a segment has {length} bins, expected at least 4; give a smaller bin_ms or a longer segment_ms and window"
        )
    # Zero padding places a peak more finely than one frequency per segment.
    frequency, power = welch(rate, fs=1e3 / bin_ms, nperseg=length, nfft=4 * length, detrend="constant", axis=1)
    return xr.DataArray(
        power.mean(axis=0),
        dims="frequency",
        coords={"frequency": ("frequency", frequency, {"units": "Hz"})},
        name="power",
        attrs={"units": "Hz^2/Hz", "long_name": "power spectrum of the population rate"},
    )


def peak_Hz(power: xr.DataArray, *, low_Hz: float, high_Hz: float) -> float:
    """The frequency of the largest power between `low_Hz` and `high_Hz`; NaN where there is none, as without spikes.

    Raises
    ------
    ArgumentError
        If no frequency of the spectrum lies between them.
    """
    frequency = power["frequency"].values
    inside = (frequency >= low_Hz) & (frequency <= high_Hz)
    if not inside.any():
        raise ArgumentError(
            f"no frequency lies in {low_Hz:g}..{high_Hz:g} Hz, the spectrum has 0..{frequency[-1]:g} Hz; "
            "give another band or a smaller bin_ms"
        )
    found = power.values[inside]
    return float(frequency[inside][np.argmax(found)]) if found.max() > 0 else float("nan")


def mean_correlation(group: Trains, *, bin_ms: float = 2.0) -> float:
    """The mean correlation coefficient of spike counts over all pairs of cells that fired, averaged over runs.

    NaN where no run has two such cells. All pairs at the cost of one pass: the variance of the sum of n standardised
    counts is n + n (n - 1) times their mean correlation.
    """
    bins = _bins(group, bin_ms)
    per_run = [_correlation(*_binned(group, run, bin_ms, bins), bins) for run in range(group.runs)]
    defined = [value for value in per_run if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")


def bursts(group: Trains, *, within_ms: float = BURST_MS) -> Bursts:
    """Event rate and burst fraction: spikes closer than `within_ms` to the one before belong to its event.

    References
    ----------
    Naud & Sprekeler (2018), PNAS 115:E6329, doi:10.1073/pnas.1720995115.
    """
    if group.cell.size == 0:
        return Bursts(0.0, float("nan"))
    same, interval = _intervals(group)
    first = np.concatenate([[True], ~same | (interval >= within_ms)])
    sizes = np.bincount(np.cumsum(first) - 1)
    return Bursts(sizes.size / (group.cells * group.runs * group.seconds), float(np.mean(sizes > 1)))


def statistics(groups: dict[str, Trains], *, min_spikes: int = 6) -> xr.Dataset:
    """All measures of every group, with their default bins.

    Parameters
    ----------
    groups : dict of str to Trains
        From `trains`.
    min_spikes : int
        See `interval_cv`.

    Returns
    -------
    Dataset (`group`,)
        `rate`, `cv`, `silent`, `synchrony`, `correlation`, `event_rate` and `burst_fraction`.
    """
    rows = [
        (
            rate_Hz(t),
            interval_cv(t, min_spikes=min_spikes),
            silent_fraction(t),
            synchrony(t),
            mean_correlation(t),
            *bursts(t),
        )
        for t in groups.values()
    ]
    names = ("rate", "cv", "silent", "synchrony", "correlation", "event_rate", "burst_fraction")
    columns = zip(names, np.array(rows).T, strict=True)
    units = {"rate": "Hz", "event_rate": "Hz"}
    return xr.Dataset(
        {name: ("group", values, {"units": units.get(name, "1")}) for name, values in columns},
        coords={"group": list(groups)},
    )


def _intervals(group: Trains) -> tuple[NDArray[np.bool_], Array]:
    """Whether each spike but the first has its predecessor in the same train, and the time since."""
    return np.diff(group.train) == 0, np.diff(group.time_ms)


def _bins(group: Trains, bin_ms: float) -> int:
    bins = int((group.t_stop_ms - group.t_start_ms) / bin_ms + 1e-9) if bin_ms > 0 else 0
    if bins < 1:
        window = group.t_stop_ms - group.t_start_ms
        raise ArgumentError(f"bin_ms is {bin_ms:g}, expected above 0 and at most the window, {window:g} ms")
    return bins


def _bin_of(time_ms: Array, group: Trains, bin_ms: float) -> NDArray[np.int64]:
    # Times are multiples of the clock's step: rounding must not put one at an edge into the bin before.
    return np.floor((time_ms - group.t_start_ms) / bin_ms + 1e-9).astype(np.int64)


def _counts(group: Trains, bin_ms: float) -> Array:
    bins = _bins(group, bin_ms)
    place = _bin_of(group.time_ms, group, bin_ms)
    inside = place < bins
    index = group.run[inside] * bins + place[inside]
    return np.bincount(index, minlength=group.runs * bins).reshape(group.runs, bins).astype(np.float64)


def _binned(group: Trains, run: int, bin_ms: float, bins: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """The cell, bin and count of every bin with spikes of one run."""
    low, high = np.searchsorted(group.run, [run, run + 1])
    place = _bin_of(group.time_ms[low:high], group, bin_ms)
    inside = place < bins
    pair, count = np.unique(group.cell[low:high][inside] * bins + place[inside], return_counts=True)
    return pair // bins, pair % bins, count.astype(np.float64)


def _correlation(cell: NDArray[np.int64], place: NDArray[np.int64], count: Array, bins: int) -> float:
    _, index = np.unique(cell, return_inverse=True)
    mean = np.bincount(index, count) / bins
    variance = np.bincount(index, count**2) / bins - mean**2
    varies = variance > 0
    n = int(varies.sum())
    if n < 2:
        return float("nan")
    weight = np.where(varies, 1.0 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    total = np.bincount(place, count * weight[index], minlength=bins) - float(weight @ mean)
    return (float(total.var()) - n) / (n * (n - 1))
