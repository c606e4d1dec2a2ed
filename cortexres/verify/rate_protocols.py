"""How rate circuits are measured: each protocol takes a circuit without noise and returns its quantities by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Circuit, driven_units, first_units, unit_coordinates
from cortexres.definitions.assemblies import RING_DEG
from cortexres.definitions.multi_area import load_area_data, with_areas
from cortexres.definitions.targets import Setting
from cortexres.errors import DefinitionError
from cortexres.meanfield.rate_circuit import rate_fixed_point
from cortexres.residual import decomposition
from cortexres.verify.settings import allow, data_folder, number, numbers

Array = NDArray[np.float64]
Measured = dict[str, float]


def steady_states(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """Fixed points under constant drives, the same for all channels, each reached from the circuit's starting state.

    `drives` lists them, in the unit of the circuit's drive.

    Returns
    -------
    dict of str to float
        For every drive D: ``rate.POP@D`` in Hz and ``state.POP@D`` of the first unit of each population;
        ``excitatory_share.POP@D``, ``net_ratio.POP@D`` and ``rate_gain.POP@D`` (see `cortexres.residual`) of what the
        drive adds to the state without it; ``slowest_ms@D`` and ``frequency_Hz@D`` of the slowest mode.
    """
    allow(settings, ("drives",))
    alone = replace(circuit, projections=tuple(q for q in circuit.projections if q.pathway == "feedforward"))
    base, base_alone = rate_fixed_point(circuit), rate_fixed_point(alone)
    found: Measured = {}
    for drive in numbers(settings, "drives"):
        point, point_alone = rate_fixed_point(circuit, drive=drive), rate_fixed_point(alone, drive=drive)
        parts = decomposition(
            point.feedforward - base.feedforward,
            point.excitatory - base.excitatory,
            point.inhibitory - base.inhibitory,
            point.rates - base.rates,
            point_alone.rates - base_alone.rates,
        )
        for name, unit in first_units(circuit).items():
            found[f"rate.{name}@{drive:g}"] = float(point.rates[unit])
            found[f"state.{name}@{drive:g}"] = float(point.state[unit])
            for key in ("excitatory_share", "net_ratio", "rate_gain"):
                found[f"{key}.{name}@{drive:g}"] = float(parts[key][unit])
        found[f"slowest_ms@{drive:g}"] = point.slowest_ms
        found[f"frequency_Hz@{drive:g}"] = point.frequency_hz
    return found


def impulse(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """The way back of the rates after the state at rest is moved by `start`, one number per population.

    Returns
    -------
    dict of str to float
        ``peak.POP`` (largest change from rest, in Hz), ``peak_ms.POP``, ``integral_ms.POP`` (of the change over
        `duration_ms`, per Hz of the length of `start`) and ``peak.sum_mode``, of the sum over units divided by the
        root of their number.
    """
    from cortexres.circuits.rates import trajectory

    allow(settings, ("start", "duration_ms"))
    moved = np.array(numbers(settings, "start"))
    populations = [p.name for p in circuit.populations]
    if len(moved) != len(populations):
        raise DefinitionError(
            f"protocol setting start has {len(moved)} numbers, expected {len(populations)}, one per population"
        )
    rest = rate_fixed_point(circuit)
    start = rest.state + np.repeat(moved, [p.assemblies for p in circuit.populations])
    run = trajectory(circuit, duration_ms=number(settings, "duration_ms"), start=start)
    change = run.response - rest.rates
    found = {"peak.sum_mode": float(change.sum(axis=1).max() / np.sqrt(change.shape[1]))}
    for name, unit in first_units(circuit).items():
        found[f"peak.{name}"] = float(change[:, unit].max())
        found[f"peak_ms.{name}"] = float(change[:, unit].argmax() * circuit.dt_ms)
        found[f"integral_ms.{name}"] = float(np.trapezoid(change[:, unit], dx=circuit.dt_ms) / np.linalg.norm(moved))
    return found


def ring_summation(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """Responses of a ring to one stimulus and to two, `separation_deg` apart; each a gaussian of `width_deg`.

    Returns
    -------
    dict of str to float
        For every c of `contrasts` (the drive at the centre of a stimulus): ``rate.POP@c`` there, of the first
        population that is driven, and ``weight@c``: its response to both stimuli over the sum of those to each.
    """
    allow(settings, ("contrasts", "width_deg", "separation_deg"))
    if circuit.drive is None:
        raise DefinitionError(f"circuit {circuit.name} has no drive, expected one channel per assembly of a ring")
    units = driven_units(circuit)[0]
    angle = np.arange(len(units)) * RING_DEG / len(units)
    width, separation = number(settings, "width_deg"), number(settings, "separation_deg")
    one, other = _bump(angle, 0.0, width), _bump(angle, separation, width)
    found: Measured = {}
    for c in numbers(settings, "contrasts"):
        alone, second, both = (rate_fixed_point(circuit, drive=c * d).rates[units] for d in (one, other, one + other))
        found[f"rate.{circuit.drive.targets[0]}@{c:g}"] = float(alone[0])
        found[f"weight@{c:g}"] = float(both.sum() / (alone.sum() + second.sum()))
    return found


def area_peaks(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """A pulse to the first of many areas, and how it passes through them.

    The areas are those of the data in the folder `data_folder`, or else of the environment variable
    ``CORTEXRES_DATA``; see `cortexres.definitions.multi_area`. A pulse of `amplitude_Hz` to the first lasts
    `pulse_ms`; `gradient` is that of excitation along the hierarchy.

    Returns
    -------
    dict of str to float
        ``increase.AREA`` (largest rate of the driven population above rest, in Hz) and ``peak_ms.AREA``;
        ``transmission``, the increase of the last area over that of the first; ``growth_per_s``, the largest real
        part of the eigenvalues at rest.

    Raises
    ------
    DataFileError
        If no folder is named, or it lacks the data.
    """
    from cortexres.circuits.rates import trajectory

    allow(settings, ("amplitude_Hz", "pulse_ms", "duration_ms", "gradient"))
    whole = with_areas(circuit, load_area_data(data_folder(circuit, settings)), gradient=number(settings, "gradient"))
    rest = rate_fixed_point(whole)
    channels = driven_units(whole)
    drive = np.zeros((2, channels.shape[1]))
    drive[0, 0] = number(settings, "amplitude_Hz")
    run = trajectory(
        whole,
        duration_ms=number(settings, "duration_ms"),
        drive=drive,
        frame_ms=number(settings, "pulse_ms"),
        start=rest.state,
    )
    change = (run.response - rest.rates)[:, channels[0]]
    areas = unit_coordinates(whole)["area"][channels[0]]
    found: Measured = {
        "transmission": float(change[:, -1].max() / change[:, 0].max()),
        "growth_per_s": float(1e3 * rest.eigenvalues_per_ms[0].real),
    }
    for k, area in enumerate(areas):
        found[f"increase.{area}"] = float(change[:, k].max())
        found[f"peak_ms.{area}"] = float(change[:, k].argmax() * whole.dt_ms)
    return found


def decision_times(circuit: Circuit, settings: Mapping[str, Setting]) -> Measured:
    """Evidence for the first of two choices, without noise and from the circuit's starting state.

    Returns
    -------
    dict of str to float
        For every c of `coherences` (in percent): ``time_ms@c``, when the first rate passes `threshold_Hz` under drives
        of ``rate_Hz (1 +- c/100)``, and ``winner@c`` and ``loser@c``, the rates at the end of `duration_ms`.
    """
    from cortexres.circuits.rates import trajectory

    allow(settings, ("coherences", "rate_Hz", "threshold_Hz", "duration_ms"))
    units = driven_units(circuit)
    if units.shape[1] != 2:
        raise DefinitionError(f"circuit {circuit.name} has {units.shape[1]} channels, expected 2, one per choice")
    found: Measured = {}
    for c in numbers(settings, "coherences"):
        drive = number(settings, "rate_Hz") * np.array([1.0 + c / 100.0, 1.0 - c / 100.0])
        run = trajectory(circuit, duration_ms=number(settings, "duration_ms"), drive=drive)
        first, second = run.response[:, units[0, 0]], run.response[:, units[0, 1]]
        found[f"time_ms@{c:g}"] = _crossing(first, number(settings, "threshold_Hz")) * circuit.dt_ms
        found[f"winner@{c:g}"], found[f"loser@{c:g}"] = float(first[-1]), float(second[-1])
    return found


def _bump(angle: Array, centre: float, width: float) -> Array:
    """A gaussian on the ring of orientations."""
    distance = (angle - centre + RING_DEG / 2) % RING_DEG - RING_DEG / 2
    return np.asarray(np.exp(-(distance**2) / (2.0 * width**2)))


def _crossing(course: Array, threshold: float) -> float:
    """The step, with its fraction, at which a course first passes a threshold; NaN where it never does."""
    above = np.flatnonzero(course >= threshold)
    if not above.size:
        return float("nan")
    k = int(above[0])
    return 0.0 if k == 0 else float(k - (course[k] - threshold) / (course[k] - course[k - 1]))


RATE_PROTOCOLS: dict[str, Callable[[Circuit, Mapping[str, Setting]], Measured]] = {
    "steady_states": steady_states,
    "impulse": impulse,
    "ring_summation": ring_summation,
    "area_peaks": area_peaks,
    "decision_times": decision_times,
}
