"""Fewer cells and fewer synapses with the same mean and variance of the input; constant in place of Poisson input."""

from __future__ import annotations

import math
from dataclasses import replace

from cortexres.definitions.circuit import Circuit
from cortexres.definitions.expected_synapses import (
    expected_in_degree,
    mean_weight_factors,
    total_synapses,
    weight_moments,
)
from cortexres.definitions.models import SYNAPSES
from cortexres.definitions.population import Population
from cortexres.definitions.projection import Background, Projection
from cortexres.errors import DefinitionError


def downscaled(circuit: Circuit, *, size: float, in_degree: float) -> Circuit:
    """The circuit with fewer cells and fewer synapses per cell, whose cells receive the same mean and variance.

    Populations shrink to ``size``, the synapses and Poisson sources of each cell to ``in_degree`` = k of their number.
    Weights grow by 1 / sqrt(k), which keeps the variance of the input; a constant input makes up for the mean that is
    then missing, (1 - sqrt k) times the mean input of the full circuit at its expected rates.

    Parameters
    ----------
    circuit : Circuit
        Of spiking cells with current or delta synapses. Where k < 1, every population that sends needs an
        `expected_rate_Hz`; Poisson sources need none.
    size, in_degree : float
        Above 0, at most 1.

    Returns
    -------
    Circuit
        Correlations between cells grow, which nothing can make up for. A stimulus is not made up for either: the mean
        effect of driven Poisson sources shrinks to sqrt(k), and that of a rate added to a background grows by
        1 / sqrt(k).

    Raises
    ------
    DefinitionError
        If a scale is out of range, a population has no expected rate, or the circuit has conductances, rates, or rules
        that leave no choice of the number of synapses.

    References
    ----------
    van Albada, Helias & Diesmann (2015), doi:10.1371/journal.pcbi.1004490.
    """
    for name, value in (("size", size), ("in_degree", in_degree)):
        if not 0.0 < value <= 1.0:
            raise DefinitionError(f"got {name} = {value:g}, expected a share above 0 and at most 1: change {name}")
    _check_current(circuit, "scaled down")
    missing = {p.name: 0.0 for p in circuit.populations} if in_degree == 1.0 else _mean_inputs(circuit)
    lost = 1.0 - math.sqrt(in_degree)
    populations = tuple(
        replace(p, size=max(1, round(size * p.size)), mean_input_mV=p.mean_input_mV + lost * missing[p.name])
        for p in circuit.populations
    )
    return replace(
        circuit,
        title=f"{circuit.title}, scaled to {size:g} of its cells and {in_degree:g} of its synapses per cell",
        populations=populations,
        projections=tuple(_fewer(q, circuit, size=size, k=in_degree) for q in circuit.projections),
        backgrounds=tuple(
            replace(b, count=round(in_degree * b.count), weight_mV=b.weight_mV / math.sqrt(in_degree))
            for b in circuit.backgrounds
        ),
    )


def with_dc_background(circuit: Circuit) -> Circuit:
    """The circuit with a constant mean input in place of each background, of the same mean and without its noise.

    Raises
    ------
    DefinitionError
        If the circuit has conductances or rates.
    """
    _check_current(circuit, "given a constant background")
    constant = {p.name: 0.0 for p in circuit.populations}
    for background in circuit.backgrounds:
        constant[background.target] += _background_mean(background, circuit)
    populations = tuple(replace(p, mean_input_mV=p.mean_input_mV + constant[p.name]) for p in circuit.populations)
    return replace(circuit, populations=populations, backgrounds=())


def _check_current(circuit: Circuit, done: str) -> None:
    others = [s.name for s in circuit.synapses if s.model in SYNAPSES and SYNAPSES[s.model].kind != "current"]
    if circuit.is_rate or others:
        what = f"synapses {', '.join(others)}" if others else "rates"
        raise DefinitionError(
            f"circuit {circuit.name!r} cannot be {done}: the mean input through {what} is not known in mV, expected "
            "spiking cells with current or delta synapses"
        )


def _mean_inputs(circuit: Circuit) -> dict[str, float]:
    """Mean depolarisation in mV of each population by the projections and backgrounds of the full circuit."""
    found = {p.name: 0.0 for p in circuit.populations}
    for q in circuit.projections:
        target = circuit.population(q.target)
        factors = mean_weight_factors(q, circuit) * weight_moments(q.weight_cv)[0]
        # A constant input is one number for all assemblies of a population: their mean.
        received = float((expected_in_degree(q, circuit) * factors).sum(axis=1).mean())
        rate = _rate(circuit.population(q.source), circuit)
        found[q.target] += 1e-3 * target.parameter("tau_m_ms") * q.weight_mV * received * rate
    for background in circuit.backgrounds:
        found[background.target] += _background_mean(background, circuit)
    return found


def _rate(population: Population, circuit: Circuit) -> float:
    """The rate of a population in the full circuit, in Hz."""
    if population.silenced:
        return 0.0
    if population.neuron == "poisson":
        return population.parameter("rate_Hz")
    if not population.expected_rate_Hz:
        raise DefinitionError(
            f"population {population.name} of circuit {circuit.name!r} has no expected rate, expected the rate at full "
            "scale, for which the constant input makes up: give it as expected_rate, or scale with in_degree = 1"
        )
    return population.expected_rate_Hz


def _background_mean(background: Background, circuit: Circuit) -> float:
    tau_m = circuit.population(background.target).parameter("tau_m_ms")
    return 1e-3 * tau_m * background.weight_mV * background.count * background.rate_Hz


def _fewer(projection: Projection, circuit: Circuit, *, size: float, k: float) -> Projection:
    """The projection with ``k`` of the synapses per cell, onto ``size`` of the cells, each 1 / sqrt(k) as strong."""
    stronger = replace(projection, weight_mV=projection.weight_mV / math.sqrt(k))
    if projection.rule == "fixed_in_degree":
        return replace(stronger, in_degree=round(k * projection.in_degree))
    if projection.rule == "fixed_total":
        return replace(stronger, total=round(size * k * total_synapses(projection, circuit)), probability=0.0)
    if projection.rule == "bernoulli" and k * projection.probability <= size:
        return replace(stronger, probability=k * projection.probability / size)
    if projection.rule == "one_to_one" and k == 1.0:
        return projection
    if projection.rule == "all_to_all" and k == size:
        return stronger
    raise DefinitionError(
        f"projection {projection.source} -> {projection.target} of rule {projection.rule!r} cannot be scaled to "
        f"{size:g} of the cells and {k:g} of the synapses per cell, expected fixed_in_degree, fixed_total, or a "
        "probability that stays below 1: choose another rule or other scales"
    )
