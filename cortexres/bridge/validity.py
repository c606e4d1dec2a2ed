"""Is a circuit inside the regime in which its mean field predicts it? Asked of the definition alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cortexres.definitions import Circuit
from cortexres.meanfield import FixedPoint, MeanField, fixed_point, mean_field, stability

#: Least amplitude of the white external noise, as a share of the distance from reset to threshold.
LEAST_NOISE = 0.3
#: Largest share of the input variance at rest that recurrent synapses may have.
LARGEST_COLOURED_SHARE = 0.25
#: Least damping ratio of the least damped oscillation (a share of the decay per radian).
LEAST_DAMPING = 0.2
#: Oscillations that are looked at (Hz).
OSCILLATIONS_HZ = (5.0, 200.0)
#: Largest rate under the largest drive, as a share of 1 / refractory period.
LARGEST_SATURATION = 0.25
#: Synaptic time constant, relative to the shortest membrane time constant, above which predictions get worse.
SLOW_SYNAPSE = 1.5
#: Rates that return to within this of the baseline have returned (Hz).
RETURNED_HZ = 0.1


class ValidityWarning(UserWarning):
    """A circuit is predicted, but less well than most."""


def validity(circuit: Circuit) -> list[str]:
    """Reasons, one sentence each, why the mean field would not predict `circuit`; empty where it would.

    Each names the number, the limit and what to do. Nothing is simulated.
    """
    reasons = [*_stimulus(circuit), *undescribed(circuit)]
    if reasons:
        return reasons
    reasons += _noise(circuit)
    field = mean_field(circuit)
    rest = fixed_point(field)
    reasons += _colour(circuit, rest)
    reasons += _baseline(field, rest)
    reasons += _largest_drive(circuit, field, rest)
    return reasons


def cautions(circuit: Circuit) -> list[str]:
    """Sentences on what makes the prediction of a valid circuit less exact."""
    shortest = min((p.parameters["tau_m_ms"] for p in circuit.populations if p.neuron == "lif"), default=np.inf)
    return [
        f"synapse {synapse.name!r} has a time constant of {synapse.tau_ms:g} ms, more than {SLOW_SYNAPSE:g} times the "
        f"shortest membrane time constant ({shortest:g} ms): expect errors of about 6 % in the steady rates"
        for synapse in circuit.synapses
        if synapse.tau_ms > SLOW_SYNAPSE * shortest
    ]


def undescribed(circuit: Circuit) -> list[str]:
    """Reasons why no residual network can stand for `circuit`, however well it may do: parts that the block lacks."""
    reasons = [
        f"population {p.name!r} has neurons of model {p.neuron!r}, and the transfer function is known for 'lif' only: "
        "use 'lif'"
        for p in circuit.populations
        if p.neuron != "lif"
    ]
    reasons += [
        f"synapse {s.name!r} has model {s.model!r}, and the mean field is that of 'exponential_current': use that one"
        for s in circuit.synapses
        if s.model != "exponential_current"
    ]
    reasons += [
        f"population {p.name!r} is silenced, and every unit of the network fires: leave it out of the circuit"
        for p in circuit.populations
        if p.silenced
    ]
    reasons += [
        f"population {b.target!r} has Poisson background, and the network knows white noise and mean input alone: give "
        "noise and mean_input in its place"
        for b in circuit.backgrounds
    ]
    return reasons


def _stimulus(circuit: Circuit) -> Iterator[str]:
    drive = circuit.drive
    if drive is None or drive.front_end is None or drive.onto != "mean_input":
        yield (
            "it has no front end that turns an image into mean input, so the network would have no input: add "
            "[drive] with onto = 'mean_input' and a [drive.front_end]"
        )


def _noise(circuit: Circuit) -> Iterator[str]:
    for p in circuit.populations:
        limit = LEAST_NOISE * (p.parameters["v_threshold_mV"] - p.parameters["v_reset_mV"])
        if p.noise_mV < limit:
            yield (
                f"population {p.name!r} has external noise of {p.noise_mV:g} mV, and at least {limit:g} mV is needed "
                f"({LEAST_NOISE:g} of threshold minus reset): raise its noise"
            )


def _colour(circuit: Circuit, rest: FixedPoint) -> Iterator[str]:
    start = 0
    for p in circuit.populations:
        share = float(np.max(rest.moments.share[start : start + p.assemblies]))
        start += p.assemblies
        if share > LARGEST_COLOURED_SHARE:
            yield (
                f"synapses make {share:.2f} of the input variance of population {p.name!r} at rest, and at most "
                f"{LARGEST_COLOURED_SHARE:g} is predicted: use smaller weights, or more external noise"
            )


def _baseline(field: MeanField, rest: FixedPoint) -> Iterator[str]:
    if rest.residual > 1e-6 * max(1.0, float(np.max(rest.rates))):
        yield (
            f"no resting state was found (rates still change by {rest.residual:.2g} Hz, expected none): "
            "use smaller weights"
        )
        return
    at_rest = stability(field, rest)
    if at_rest.growth_per_ms >= 0.0:
        yield (
            f"the resting state is unstable (grows by {1e3 * at_rest.growth_per_ms:.3g} / s at "
            f"{at_rest.frequency_hz:.0f} Hz, and must decay): use smaller weights"
        )
        return
    ratio, frequency = at_rest.least_damped_oscillation(OSCILLATIONS_HZ)
    if ratio < LEAST_DAMPING:
        yield (
            f"the resting state is near an oscillation (damping ratio {ratio:.2f} at {frequency:.0f} Hz, and at least "
            f"{LEAST_DAMPING:g} is needed): use less inhibition, or shorter delays"
        )


def _largest_drive(circuit: Circuit, field: MeanField, rest: FixedPoint) -> Iterator[str]:
    """Faults under the largest drive to all channels, and to one channel alone."""
    if circuit.drive is None or circuit.drive.front_end is None:
        return
    gain, channels = circuit.drive.front_end.gain_mV, circuit.drive.front_end.channels
    highest = 0.0
    for drive, where in ((np.full(channels, gain), "all channels"), (gain * np.eye(channels)[0], "one channel")):
        driven = fixed_point(field, drive=field.drive(drive), start=rest.rates)
        highest = max(highest, float(np.max(driven.rates * field.t_ref * 1e-3)))
        after = fixed_point(field, start=driven.rates)
        lasting = float(np.max(np.abs(after.rates - rest.rates)))
        if lasting > RETURNED_HZ:
            yield (
                f"after a drive of {gain:g} mV to {where} some rates stay {lasting:.1f} Hz from rest (limit "
                f"{RETURNED_HZ:g} Hz), which is winner-take-all: use smaller weights or a lower kappa"
            )
        growth = stability(field, driven).growth_per_ms
        if growth >= 0.0 and lasting <= RETURNED_HZ:
            yield (
                f"the response to {gain:g} mV in {where} is unstable (grows by {1e3 * growth:.3g} / s, and must "
                "decay), as in winner-take-all: use smaller weights, a lower kappa, or a lower gain"
            )
    if highest > LARGEST_SATURATION:
        yield (
            f"the largest drive ({gain:g} mV) brings a rate to {highest:.2f} of the inverse refractory period, and at "
            f"most {LARGEST_SATURATION:g} is predicted: use a lower gain or smaller weights"
        )
