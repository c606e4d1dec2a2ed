"""From the definition of a circuit to its mean field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cortexres.definitions import Circuit, Population, Projection, driven_units, first_units
from cortexres.definitions.expected_synapses import expected_in_degree, mean_weight_factors, weight_moments
from cortexres.errors import ValidityError
from cortexres.meanfield.moments import BackgroundInput, MeanField, Pathway
from cortexres.meanfield.siegert import discrete_time_threshold

Array = NDArray[np.float64]

#: Neuron and synapse models that the theory describes.
DESCRIBED_NEURONS = ("lif", "poisson")
DESCRIBED_SYNAPSES = ("delta", "exponential_current")


def mean_field(
    circuit: Circuit,
    *,
    discrete_time: bool = True,
    noise: Literal["coloured", "white"] = "coloured",
    weight_spread: bool = True,
) -> MeanField:
    """The mean field of a circuit of leaky integrate-and-fire neurons, from its definition alone.

    Poisson sources are units with a given rate, silenced cells units with a given rate of 0.

    Parameters
    ----------
    circuit : Circuit
        The definition. All rules of connection, profiles, weight factors and backgrounds are described by their mean;
        random delays by their mean delay.
    discrete_time : bool
        Correct the threshold for the circuit's time step, where cells have white external noise.
    noise : {"coloured", "white"}
        Whether synapses filter the noise that they bring, which shifts the bounds of the Siegert integral.
    weight_spread : bool
        Let random weights add to the variance of the input.

    Raises
    ------
    ValidityError
        If the circuit has neurons or synapses that the theory does not describe; all are named.

    References
    ----------
    Brunel (2000), doi:10.1023/A:1008925309027; Fourcaud & Brunel (2002), doi:10.1162/089976602320264015.
    """
    _check(circuit)
    per_unit = [p for p in circuit.populations for _ in range(p.assemblies)]
    tau_m = _column(per_unit, "tau_m_ms")
    white = np.array([p.noise_mV for p in per_unit])
    threshold = _column(per_unit, "v_threshold_mV")
    if discrete_time:
        threshold = discrete_time_threshold(threshold, noise_mV=white, dt_ms=circuit.dt_ms, tau_m_ms=tau_m)
    return MeanField(
        tau_m=tau_m,
        t_ref=_column(per_unit, "t_refractory_ms"),
        threshold=threshold,
        reset=_column(per_unit, "v_reset_mV"),
        noise=white,
        resting=_column(per_unit, "v_rest_mV") + np.array([p.mean_input_mV for p in per_unit]),
        driven=driven_units(circuit),
        pathways=_pathways(circuit, weight_spread=weight_spread),
        given=_given(per_unit),
        backgrounds=_backgrounds(circuit),
        onto="mean_input" if circuit.drive is None else circuit.drive.onto,
        coloured=noise == "coloured",
    )


def _check(circuit: Circuit) -> None:
    faults = [
        f"population {p.name!r} has neurons of model {p.neuron!r}"
        for p in circuit.populations
        if p.neuron not in DESCRIBED_NEURONS
    ]
    faults += [
        f"synapse {s.name!r} has model {s.model!r}" for s in circuit.synapses if s.model not in DESCRIBED_SYNAPSES
    ]
    if faults:
        raise ValidityError(
            f"circuit {circuit.name!r} has no mean field here: {'; '.join(faults)}, expected neurons of "
            f"{' or '.join(DESCRIBED_NEURONS)} and synapses of {' or '.join(DESCRIBED_SYNAPSES)}: simulate it instead"
        )


def _column(populations: list[Population], name: str) -> Array:
    """A neuron parameter of every unit; NaN for Poisson sources, which have none."""
    return np.array([p.parameters.get(name, np.nan) for p in populations], dtype=np.float64)


def _given(per_unit: list[Population]) -> Array | None:
    """Rates of Poisson sources, 0 of silenced cells, NaN for all others; None where there are only others."""
    given = np.full(len(per_unit), np.nan)
    for unit, p in enumerate(per_unit):
        if p.silenced:
            given[unit] = 0.0
        elif p.neuron == "poisson":
            given[unit] = p.parameter("rate_Hz")
    return None if np.all(np.isnan(given)) else given


def _pathways(circuit: Circuit, *, weight_spread: bool) -> tuple[Pathway, ...]:
    """The projections, added up over those that act through the same synapse, delay, sign and direction."""
    units = sum(p.assemblies for p in circuit.populations)
    groups: dict[tuple[float, float, bool, bool], tuple[Array, Array]] = {}
    for projection in circuit.projections:
        rows, columns = (_units(circuit, name) for name in (projection.target, projection.source))
        mean, variance = _moments(projection, circuit, weight_spread=weight_spread)
        for key, chosen in _kinds(projection, circuit, mean):
            total = groups.setdefault(key, (np.zeros((units, units)), np.zeros((units, units))))
            total[0][rows, columns] += np.where(chosen, mean, 0.0)
            total[1][rows, columns] += np.where(chosen, variance, 0.0)
    return tuple(
        Pathway(tau_ms=tau, delay_ms=delay, excitatory=positive, mean=mean, variance=variance, feedforward=forward)
        for (tau, delay, positive, forward), (mean, variance) in groups.items()
    )


def _moments(projection: Projection, circuit: Circuit, *, weight_spread: bool) -> tuple[Array, Array]:
    """Mean (mV / Hz) and variance (mV^2 / Hz) per rate of one projection, (target, source) assemblies."""
    tau_m = circuit.population(projection.target).parameter("tau_m_ms")
    # Times 1e-3: rates are in Hz, time constants in ms.
    inputs = 1e-3 * tau_m * expected_in_degree(projection, circuit)
    weights = projection.weight_mV * mean_weight_factors(projection, circuit)
    first, second = weight_moments(projection.weight_cv)
    return inputs * weights * first, inputs * weights**2 * (second if weight_spread else first**2)


def _kinds(
    projection: Projection, circuit: Circuit, mean: Array
) -> Iterator[tuple[tuple[float, float, bool, bool], NDArray[np.bool_]]]:
    """The pathways that a projection is part of, with the pairs of assemblies that are in each."""
    forward = projection.pathway == "feedforward" or circuit.population(projection.source).neuron == "poisson"
    tau = circuit.synapse(projection.synapse).tau_ms
    delays = np.full(mean.shape, projection.delay_ms)
    if projection.delay_matrix_ms:
        delays = np.asarray(projection.delay_matrix_ms, dtype=np.float64)
    for delay in np.unique(delays):
        for positive in (True, False):
            chosen = (delays == delay) & ((mean > 0.0) if positive else (mean < 0.0))
            if np.any(chosen):
                yield (tau, float(delay), positive, forward), chosen


def _units(circuit: Circuit, name: str) -> slice:
    first = first_units(circuit)[name]
    return slice(first, first + circuit.population(name).assemblies)


def _backgrounds(circuit: Circuit) -> tuple[BackgroundInput, ...]:
    units = sum(p.assemblies for p in circuit.populations)
    targets = () if circuit.drive is None or circuit.drive.onto != "background" else circuit.drive.targets
    found: list[BackgroundInput] = []
    for index, background in enumerate(circuit.backgrounds):
        rows = _units(circuit, background.target)
        tau_m = circuit.population(background.target).parameter("tau_m_ms")
        mean, variance, rate = np.zeros(units), np.zeros(units), np.zeros(units)
        mean[rows] = 1e-3 * tau_m * background.weight_mV
        variance[rows] = 1e-3 * tau_m * background.weight_mV**2
        rate[rows] = background.count * background.rate_Hz
        # The stimulus adds to the first background of a population, as in a simulation.
        first = background.target not in {b.target for b in circuit.backgrounds[:index]}
        found.append(
            BackgroundInput(
                tau_ms=circuit.synapse(background.synapse).tau_ms,
                mean=mean,
                variance=variance,
                rate=rate,
                driven=first and background.target in targets,
            )
        )
    return tuple(found)
