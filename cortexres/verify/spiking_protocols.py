"""How spiking circuits are measured: each protocol runs a circuit and returns its quantities by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres import spike_statistics as statistics
from cortexres import stimuli
from cortexres.definitions import Circuit, downscaled, driven_units, first_units, unit_coordinates, with_values
from cortexres.definitions.models import NEURONS
from cortexres.definitions.multi_area import load_area_data, with_areas
from cortexres.definitions.targets import Setting
from cortexres.errors import DefinitionError
from cortexres.spike_statistics import Trains
from cortexres.verify.settings import allow, data_folder, number, seed, text, whole

Measured = dict[str, float]

_RUN = ("duration_ms", "settle_ms", "trials", "size", "in_degree")
_STATISTICS = ("min_spikes", "bin_ms", "segment_ms", "band_low_Hz", "band_high_Hz")


def spontaneous(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """Activity without a stimulus, after settling.

    Returns
    -------
    dict of str to float
        ``rate.POP`` in Hz, ``cv.POP`` (trains of at least `min_spikes`), ``silent.POP``, ``synchrony.POP`` (3-ms bins),
        ``correlation.POP`` (2-ms bins) and ``peak_Hz.POP`` (of the spectrum between `band_low_Hz` and `band_high_Hz`),
        for every population and for ``all`` cells. `size` and `in_degree` scale the circuit down before.
    """
    allow(settings, (*_RUN, *_STATISTICS))
    groups = _groups(circuit, settings)
    found: Measured = {}
    for name, group in groups.items():
        power = statistics.spectrum(
            group, bin_ms=number(settings, "bin_ms", 0.5), segment_ms=number(settings, "segment_ms", 250.0)
        )
        low, high = number(settings, "band_low_Hz", 5.0), number(settings, "band_high_Hz", 500.0)
        found |= {
            f"rate.{name}": statistics.rate_Hz(group),
            f"cv.{name}": statistics.interval_cv(group, min_spikes=whole(settings, "min_spikes", 3)),
            f"silent.{name}": statistics.silent_fraction(group),
            f"synchrony.{name}": statistics.synchrony(group),
            f"correlation.{name}": statistics.mean_correlation(group),
            f"peak_Hz.{name}": statistics.peak_Hz(power, low_Hz=low, high_Hz=high),
        }
    return found


def self_sustained(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """Activity that only the start sets off, and that may end by itself.

    Returns
    -------
    dict of str to float
        ``ignited``, the share of trials in which a cell fires after settling; ``sustained``, the share of these in
        which one fires in the last 100 ms; ``rate.POP`` in Hz and ``cv.POP`` (trains of at least `min_spikes`) of every
        population and of ``all`` cells, in the trials that last: NaN without any.
    """
    allow(settings, (*_RUN, "min_spikes"))
    groups = _groups(circuit, settings)
    group = groups["all"]
    lasting = np.unique(group.run[group.time_ms >= group.t_stop_ms - 100.0])
    ignited = np.unique(group.run).size
    found = {"ignited": ignited / group.runs, "sustained": lasting.size / ignited if ignited else float("nan")}
    for name, trains in groups.items():
        kept = statistics.of_runs(trains, lasting) if lasting.size else None
        minimum = whole(settings, "min_spikes", 3)
        found[f"rate.{name}"] = statistics.rate_Hz(kept) if kept else float("nan")
        found[f"cv.{name}"] = statistics.interval_cv(kept, min_spikes=minimum) if kept else float("nan")
    return found


def bursting(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """Bursts without a stimulus: ``event_rate.POP`` and ``rate.POP`` in Hz, and ``burst_fraction.POP``.

    Spikes closer than `burst_interval_ms` are one event.
    """
    allow(settings, (*_RUN, "burst_interval_ms"))
    found: Measured = {}
    for name, group in _groups(circuit, settings).items():
        events = statistics.bursts(group, within_ms=number(settings, "burst_interval_ms", statistics.BURST_MS))
        found[f"rate.{name}"] = statistics.rate_Hz(group)
        found[f"event_rate.{name}"], found[f"burst_fraction.{name}"] = events
    return found


def decision(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """Two pools (the assemblies of the driven population) compete for the evidence that both receive.

    Every trial has evidence of its own: in each `frame_ms`, normal about ``evidence_Hz * (1 + coherence)`` for the
    first pool and ``(1 - coherence)`` for the second, with `evidence_sd_Hz`. It lasts `stimulus_ms`; the pools are read
    in the last `read_ms` of the `delay_ms` after it.

    Returns
    -------
    dict of str to float
        ``spontaneous.E`` and ``.I`` in Hz, before the evidence without the first 200 ms; ``trials_with_a_winner``, out
        of ten: exactly one pool fires at `winner_low_Hz` to `winner_high_Hz`; ``winner_rate``, the mean rate of the
        faster pool; ``correct``, the share of trials in which that is the first.
    """
    allow(
        settings,
        (
            *("trials", "settle_ms", "stimulus_ms", "delay_ms", "read_ms", "winner_low_Hz", "winner_high_Hz"),
            *("evidence_Hz", "evidence_sd_Hz", "frame_ms", "coherence"),
        ),
    )
    trials, settle = whole(settings, "trials", 10), number(settings, "settle_ms", 500.0)
    end = number(settings, "stimulus_ms") + number(settings, "delay_ms", 0.0)
    spikes = _spikes(circuit, settings, _evidence(settings, trials), trials=1, duration_ms=end)
    runs = [(k, 0) for k in range(trials)]
    before = statistics.trains(spikes, t_start_ms=200.0 - settle, t_stop_ms=0.0, runs=runs)
    read = number(settings, "read_ms", 250.0)
    late = statistics.trains(spikes, by="unit", t_start_ms=end - read, t_stop_ms=end, runs=runs)
    pools = np.stack([_run_rates_Hz(late[str(unit)]) for unit in _pools(circuit)])
    low, high = number(settings, "winner_low_Hz", 20.0), number(settings, "winner_high_Hz", 40.0)
    won = ((pools >= low) & (pools <= high)).sum(axis=0) == 1
    return {
        "spontaneous.E": statistics.rate_Hz(statistics.joined(_of_type(before, circuit, "pyramidal"))),
        "spontaneous.I": statistics.rate_Hz(statistics.joined(_of_type(before, circuit, "inhibitory"))),
        "trials_with_a_winner": 10.0 * float(won.mean()),
        "winner_rate": float(pools.max(axis=0).mean()),
        "correct": float((pools[0] > pools[1]).mean()),
    }


def disinhibition(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """Extra mean input `drive_mV` to the population `driven`: ``ratio.POP``, rates with it over those without it.

    Both simulations have the same synapses, noise and starting potentials.
    """
    allow(settings, (*_RUN, "drive_mV", "driven", "inhibited", "disinhibited"))
    driven, extra = text(settings, "driven"), number(settings, "drive_mV")
    known = {p.name: p for p in circuit.populations}
    for role in ("driven", "inhibited", "disinhibited"):
        if text(settings, role) not in known:
            raise DefinitionError(f"protocol setting {role} is {settings[role]!r}, expected one of {', '.join(known)}")
    path = f"populations.{driven}.mean_input_mV"
    more = with_values(circuit, {path: known[driven].mean_input_mV + extra})
    without, with_drive = (_groups(c, settings) for c in (circuit, more))
    found: Measured = {}
    for name, group in without.items():
        rate = statistics.rate_Hz(group)
        found[f"rate.{name}"] = rate
        found[f"ratio.{name}"] = statistics.rate_Hz(with_drive[name]) / rate if rate else float("nan")
    return found


def area_peaks_spiking(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """A pulse to the first of many areas, and how far it gets; the anatomy comes from a folder of the user.

    The circuit is that of one area, put into every area of the data in `data_folder`, or else in the folder of the
    environment variable ``CORTEXRES_DATA``, with `gradient` along the hierarchy; see
    `cortexres.definitions.multi_area`. Areas joined by less than `least_fln` are left apart. `amplitude_mV` is added
    to the first area for `pulse_ms`.

    Returns
    -------
    dict of str to float
        For every area ``peak.AREA``, the largest rate of its driven population in a bin of `bin_ms` after the onset,
        averaged over trials, and ``baseline.AREA``, its rate before, without the first 100 ms.

    Raises
    ------
    DataFileError
        If no folder is named, or it lacks the data.
    """
    allow(
        settings,
        ("amplitude_mV", "pulse_ms", "duration_ms", "settle_ms", "trials", "gradient", "least_fln", "bin_ms"),
    )
    anatomy = load_area_data(data_folder(circuit, settings))
    least = number(settings, "least_fln", 0.0)
    chain = with_areas(circuit, anatomy, gradient=number(settings, "gradient"), least_fln=least)
    areas = driven_units(chain)[0]
    amplitudes = np.zeros((1, areas.size))
    amplitudes[0, 0] = number(settings, "amplitude_mV")
    pulse = stimuli.pulses(amplitudes, duration_ms=number(settings, "pulse_ms"), units="mV")
    trials, settle = whole(settings, "trials", 1), number(settings, "settle_ms", 300.0)
    spikes = _spikes(chain, settings, pulse, trials=trials, duration_ms=number(settings, "duration_ms"))
    runs = [(0, trial) for trial in range(trials)]
    after = statistics.trains(spikes, by="unit", runs=runs)
    before = statistics.trains(spikes, by="unit", t_start_ms=100.0 - settle, t_stop_ms=0.0, runs=runs)
    names = unit_coordinates(chain)["area"]
    found: Measured = {}
    for unit in areas:
        peak = statistics.peak_rate_Hz(after[str(unit)], bin_ms=number(settings, "bin_ms", 5.0))
        found[f"peak.{names[unit]}"] = peak
        found[f"baseline.{names[unit]}"] = statistics.rate_Hz(before[str(unit)])
    return found


def _groups(circuit: Circuit, settings: Mapping[str, Setting]) -> dict[str, Trains]:
    """The trains of each population, and of all cells, without a stimulus."""
    trials = whole(settings, "trials", 1)
    spikes = _spikes(
        _scaled(circuit, settings), settings, None, trials=trials, duration_ms=number(settings, "duration_ms", 1000.0)
    )
    groups = statistics.trains(spikes, runs=[(0, trial) for trial in range(trials)])
    cells = [groups[p.name] for p in circuit.populations if NEURONS[p.neuron].kind == "spiking"]
    return {**groups, "all": statistics.joined(cells)}


def _scaled(circuit: Circuit, settings: Mapping[str, Setting]) -> Circuit:
    size, in_degree = number(settings, "size", 1.0), number(settings, "in_degree", 1.0)
    return circuit if size == in_degree == 1.0 else downscaled(circuit, size=size, in_degree=in_degree)


def _spikes(
    circuit: Circuit, settings: Mapping[str, Setting], drives: xr.Dataset | None, *, trials: int, duration_ms: float
) -> xr.Dataset:
    from cortexres import circuits

    return circuits.spikes(
        circuit,
        drives,
        trials=trials,
        duration_ms=duration_ms,
        settle_ms=number(settings, "settle_ms", 200.0),
        rng=seed(settings),
        target=text(settings, "target", "auto"),
        progress=False,
    )


def _evidence(settings: Mapping[str, Setting], trials: int) -> xr.Dataset:
    """One stimulus per trial: a new pair of rates in every frame, and 0 after the last."""
    frame = number(settings, "frame_ms", 50.0)
    frames = round(number(settings, "stimulus_ms") / frame)
    mean, coherence = number(settings, "evidence_Hz"), number(settings, "coherence")
    rng = np.random.default_rng((seed(settings), 1))
    noise = number(settings, "evidence_sd_Hz", 0.0) * rng.standard_normal((trials, frames, 2))
    values = np.maximum(mean * np.array([1 + coherence, 1 - coherence]) + noise, 0.0)
    return stimuli.drives(np.concatenate([values, np.zeros((trials, 1, 2))], axis=1), frame_ms=frame, units="Hz")


def _pools(circuit: Circuit) -> NDArray[np.int64]:
    """The units of the two pools."""
    driven = () if circuit.drive is None else circuit.drive.targets
    if not driven or circuit.population(driven[0]).assemblies != 2:
        raise DefinitionError(f"circuit {circuit.name} drives no population of two assemblies, expected the two pools")
    return first_units(circuit)[driven[0]] + np.arange(2)


def _run_rates_Hz(group: Trains) -> NDArray[np.float64]:
    """The rate in each run."""
    counts = np.bincount(group.run, minlength=group.runs)
    return np.asarray(counts / (group.cells * group.seconds))


def _of_type(groups: dict[str, Trains], circuit: Circuit, cell_type: str) -> list[Trains]:
    return [groups[p.name] for p in circuit.populations if p.cell_type == cell_type]


SPIKING_PROTOCOLS: dict[str, Callable[[Circuit, Mapping[str, Setting]], Measured]] = {
    "spontaneous": spontaneous,
    "self_sustained": self_sustained,
    "bursting": bursting,
    "decision": decision,
    "disinhibition": disinhibition,
    "area_peaks_spiking": area_peaks_spiking,
}
