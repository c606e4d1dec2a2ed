"""Synapses by rule, against the closed forms of their numbers and distributions; fixed seeds throughout."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cortexres.circuits import connection_rules
from cortexres.circuits.connection_rules import draw_pairs, synapse_count
from cortexres.circuits.connectivity import Connections, draw
from cortexres.definitions import (
    Circuit,
    Population,
    Profile,
    Projection,
    Synapse,
    assembly_profile,
    load_circuit,
    ring_weight,
)
from cortexres.definitions.expected_synapses import expected_in_degree, mean_weight_factors, total_synapses
from cortexres.definitions.models import RULES as VOCABULARY
from cortexres.errors import DefinitionError

RULES = {
    "fixed_in_degree": {"in_degree": 12},
    "fixed_total": {"total": 500},
    "bernoulli": {"probability": 0.3},
    "one_to_one": {},
    "all_to_all": {},
}
PROFILES = (
    Profile(kind="von_mises", kappa=1.5),
    Profile(kind="cosine", depth=0.8),
    Profile(kind="cosine", depth=-0.5),
    Profile(kind="gaussian", width_deg=25.0),
)


def population(name: str, size: int, assemblies: int = 1) -> Population:
    parameters = {"tau_m_ms": 10.0, "v_rest_mV": 0.0, "v_threshold_mV": 20.0, "v_reset_mV": 10.0}
    return Population(
        name=name,
        size=size,
        assemblies=assemblies,
        neuron="lif",
        parameters={**parameters, "t_refractory_ms": 2.0},
        cell_type="pyramidal",
    )


def circuit(source: Population, target: Population, **options: object) -> Circuit:
    """One projection from S to T."""
    joined = Projection(source="S", target="T", synapse="s", **{"weight_mV": -0.5, "delay_ms": 1.5, **options})  # type: ignore[arg-type]
    return Circuit(
        name="one",
        title="",
        source="",
        populations=(source, target),
        synapses=(Synapse(name="s", model="exponential_current", tau_ms=5.0),),
        projections=(joined,),
        dt_ms=0.1,
    )


def drawn(of: Circuit, seed: int = 1) -> Connections:
    return draw(of, np.random.SeedSequence(seed))[0]


def table(made: Connections, of: Circuit) -> NDArray[np.int64]:
    """Number of synapses of every pair of cells, (target, source)."""
    source, target = of.populations
    counts = np.zeros((target.cells, source.cells), dtype=np.int64)
    np.add.at(counts, (made.target, made.source), 1)
    return counts


def standard_error(counts: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviation of Poisson-like counts in units of their standard error."""
    return np.asarray((counts - expected) / np.sqrt(np.maximum(expected, 1.0)))


# --- what holds for every rule ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("assemblies", [1, 4])
def test_synapses_are_small_integers_in_range_sorted_by_source(rule: str, assemblies: int) -> None:
    of = circuit(population("S", 20, assemblies), population("T", 20, assemblies), rule=rule, **RULES[rule])
    made = drawn(of)
    assert made.source.dtype == made.target.dtype == np.int32
    assert len(made.source) == len(made.target) > 0
    assert (np.diff(made.source) >= 0).all()
    for cells, p in zip((made.source, made.target), of.populations, strict=True):
        assert 0 <= cells.min() <= cells.max() < p.cells
    assert made.factor is None
    assert made.delay_steps is None


@pytest.mark.parametrize("rule", RULES)
def test_the_seed_decides_and_each_projection_has_its_own_stream(rule: str) -> None:
    of = circuit(population("S", 30, 2), population("T", 30, 2), rule=rule, weight_cv=0.2, delay_cv=0.3, **RULES[rule])
    of = replace(of, projections=of.projections * 2)
    first, second = draw(of, np.random.SeedSequence(1))
    again = draw(of, np.random.SeedSequence(1))
    for a, b in zip((first, second), again, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    random = rule not in ("one_to_one", "all_to_all")
    other = drawn(of, seed=2)
    assert np.array_equal(table(first, of), table(other, of)) != random
    assert np.array_equal(table(first, of), table(second, of)) != random
    assert not np.array_equal(first.factor[:10], second.factor[:10])  # type: ignore[index]
    changed = replace(of.projections[0], rule="all_to_all", profile=PROFILES[0])
    altered = replace(of, projections=(changed, of.projections[1]))
    for x, y in zip(second, draw(altered, np.random.SeedSequence(1))[1], strict=True):
        np.testing.assert_array_equal(x, y)


def test_weights_and_delays_leave_the_partners_and_each_other_alone() -> None:
    plain = circuit(population("S", 30), population("T", 30), in_degree=9)
    both = drawn(replace(plain, projections=(replace(plain.projections[0], weight_cv=0.2, delay_cv=0.3),)))
    for change in ({"weight_cv": 0.2}, {"delay_cv": 0.3}):
        made = drawn(replace(plain, projections=(replace(plain.projections[0], **change),)))
        np.testing.assert_array_equal(made.source, both.source)
        np.testing.assert_array_equal(made.target, both.target)
        assert made.factor is None or np.array_equal(made.factor, both.factor)
        assert made.delay_steps is None or np.array_equal(made.delay_steps, both.delay_steps)
    np.testing.assert_array_equal(drawn(plain).target, both.target)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("profile", [Profile(), Profile(kind="same"), *PROFILES], ids=lambda p: p.kind)
@pytest.mark.parametrize("masked", [False, True])
def test_numbers_by_pair_of_assemblies_are_those_of_the_definition(rule: str, profile: Profile, masked: bool) -> None:
    """The expectation is computed elsewhere and by other means; 20 draws, 5 standard errors."""
    matrix = ((1.0, 0.0, 0.5, 2.0), (1.0, 1.0, 1.0, 0.0), (0.5, 0.5, 1.0, 1.0), (0.0, 0.0, 0.0, 1.0))
    of = circuit(
        population("S", 10, 4),
        population("T", 10, 4),
        rule=rule,
        profile=profile,
        matrix=matrix if masked else (),
        **{**RULES[rule], **({"probability": 0.15} if rule == "bernoulli" else {})},
    )
    expected = expected_in_degree(of.projections[0], of) * 10
    found = np.zeros((4, 4))
    for seed in range(20):
        found += table(drawn(of, seed), of).reshape(4, 10, 4, 10).sum(axis=(1, 3)) / 20
    assert (found[expected == 0] == 0).all()
    assert np.abs(standard_error(found, expected)).max() < 5 / math.sqrt(20)
    count = synapse_count(of.projections[0], *of.populations)
    assert count == pytest.approx(expected.sum(), abs=0.51)
    if rule != "bernoulli":
        assert len(drawn(of).source) == count


@pytest.mark.parametrize("rule", ["fixed_in_degree", "fixed_total", "bernoulli"])
@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.kind)
@pytest.mark.parametrize(("n", "m"), [(60, 60), (60, 45), (30, 90), (31, 50)])
def test_a_single_assembly_is_a_ring_of_cells(rule: str, profile: Profile, n: int, m: int) -> None:
    """Synapses by distance on the ring, chi-square; every distance between cells of two rings occurs."""
    options = {"in_degree": 300, "total": 300 * n, "probability": 0.2}
    key = {"fixed_in_degree": "in_degree", "fixed_total": "total", "bernoulli": "probability"}[rule]
    of = circuit(population("S", m), population("T", n), rule=rule, profile=profile, **{key: options[key]})
    position = np.arange(n)[:, None] / n - np.arange(m)[None, :] / m
    weight = ring_weight(profile, position)
    chance = weight / weight.mean(axis=1, keepdims=True)
    counts = sum(table(drawn(of, seed), of) for seed in range(15 if rule == "bernoulli" else 1))
    total = np.sum(counts)
    expected = chance * (15 * 0.2 if rule == "bernoulli" else 300 / m)
    assert abs(total - expected.sum()) < 5 * math.sqrt(expected.sum())
    bins = np.minimum((np.abs(position - np.round(position)) * 24).astype(int), 11)
    observed, wanted = (np.bincount(bins.ravel(), np.ravel(x), minlength=12) for x in (counts, expected))
    assert stats.chisquare(observed, wanted * total / wanted.sum()).pvalue > 1e-4
    # The ring is turned as it should be, not only as wide: the first moment points along the target's own angle.
    turned = (counts * np.exp(2j * np.pi * position)).sum() / total
    assert abs(turned - (expected * np.exp(2j * np.pi * position)).sum() / expected.sum()) < 5 / math.sqrt(total)


def test_one_assembly_may_face_several() -> None:
    profile = Profile(kind="gaussian", width_deg=20.0)
    one, several = population("S", 80), population("S", 10, 4)
    for source, target in ((one, replace(several, name="T")), (several, replace(one, name="T"))):
        of = circuit(source, target, in_degree=200, profile=profile)
        counts = table(drawn(of), of)
        assert set(counts.sum(axis=1)) == {200}
        places = [p.assemblies if p.assemblies > 1 else p.size for p in (target, source)]
        expected = assembly_profile(profile, *places)
        found = counts.reshape(places[0], -1, places[1], source.cells // places[1]).sum(axis=3).mean(axis=1)
        n = target.cells // places[0]
        assert np.abs(standard_error(found, expected * 200)).max() < 5 / math.sqrt(n)


# --- one rule at a time ----------------------------------------------------------------------------------------------


def test_fixed_in_degree_has_multapses_and_autapses_and_binomial_out_degrees() -> None:
    of = circuit(population("S", 50), population("T", 400), in_degree=40)
    counts = table(drawn(of), of)
    assert (counts.sum(axis=1) == 40).all()
    assert counts.max() > 1
    # 16000 draws of 50 sources: a chi-square with 49 degrees of freedom
    assert 1e-4 < stats.chisquare(counts.sum(axis=0)).pvalue < 1 - 1e-4
    # of the pairs, the share without a synapse is (1 - 1/50)^40
    p = (1 - 1 / 50) ** 40
    assert abs((counts == 0).mean() - p) < 5 * math.sqrt(p * (1 - p) / counts.size)
    same = replace(of, populations=(population("S", 400), population("T", 400)))
    assert np.trace(table(drawn(same), same)) > 0


@pytest.mark.parametrize("assemblies", [1, 5])
def test_fixed_total_draws_both_ends_with_replacement(assemblies: int) -> None:
    n = 50 // assemblies
    matrix = ((1.0,) * assemblies,) * assemblies
    of = circuit(
        population("S", n, assemblies), population("T", n, assemblies), rule="fixed_total", total=5000, matrix=matrix
    )
    if assemblies > 1:  # the general way, which draws the target first
        of = replace(of, projections=(replace(of.projections[0], profile=Profile(kind="cosine", depth=0.0)),))
    counts = table(drawn(of), of)
    assert counts.sum() == 5000
    for axis in (0, 1):
        assert 1e-4 < stats.chisquare(counts.sum(axis=axis)).pvalue < 1 - 1e-4
    # The number of synapses of a pair is binomial: its variance is its mean, nearly.
    share = np.bincount(counts.ravel(), minlength=8)[:8] / counts.size
    expected = stats.binom.pmf(np.arange(8), 5000, 1 / counts.size)
    assert np.abs(share - expected).max() < 5 * math.sqrt(0.25 / counts.size)


def test_a_probability_becomes_the_total_that_joins_that_share_of_pairs() -> None:
    of = circuit(population("S", 100), population("T", 80), rule="fixed_total", probability=0.2)
    total = round(math.log(0.8) / math.log(1 - 1 / 8000))
    assert synapse_count(of.projections[0], *of.populations) == total_synapses(of.projections[0], of) == total
    assert len(drawn(of).source) == total
    joined = np.mean([(table(drawn(of, seed), of) > 0).mean() for seed in range(10)])
    assert joined == pytest.approx(0.2, abs=5 * math.sqrt(0.16 / 80000))


def test_potjans_and_diesmann_have_their_numbers_of_synapses() -> None:
    """Total and mean in-degrees at full scale (table of `microcircuit`), without the synapses of the thalamus."""
    of = load_circuit("potjans_diesmann_2014")
    layers = ["L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I"]
    counts = {
        (q.source, q.target): synapse_count(q, of.population(q.source), of.population(q.target))
        for q in of.projections
        if q.source in layers
    }
    assert sum(counts.values()) == 298_880_968
    published = """
        2199.9 1079.3  979.2 467.6 159.2   0   109.8   0
        2990.0  860.3  703.7 289.7 380.7   0    60.6   0
        159.9   34.5 1117.2 794.6  32.6   0.3 667.3   0
        1481.0   16.9 1813.0 953.3  16.0   0  1608.1   0
        2188.4  374.7 1135.6  31.3 420.8 496.5 296.7   0
        1165.7  159.1  570.6  12.1 300.1 404.2 124.3   0
        325.2   38.6  467.4  91.7 285.7  21.2 581.6 752.2
        766.9    5.8   74.6   2.7 136.2   8.6 979.8 459.4"""
    rows = np.array(published.split(), dtype=float).reshape(8, 8)
    found = np.array([[counts.get((s, t), 0) / of.population(t).cells for s in layers] for t in layers])
    np.testing.assert_allclose(found, rows, atol=0.051)


@pytest.mark.parametrize("probability", [0.0, 1e-3, 0.1, 0.9, 1.0])
def test_bernoulli_pairs_are_independent_and_never_double(probability: float) -> None:
    of = circuit(population("S", 70), population("T", 130), rule="bernoulli", probability=probability)
    tables = np.array([table(drawn(of, seed), of) for seed in range(40)])
    assert tables.max(initial=0) <= 1
    n, spread = tables[0].size, math.sqrt(probability * (1 - probability))
    totals = tables.sum(axis=(1, 2))
    assert abs(totals.mean() - n * probability) <= 5 * spread * math.sqrt(n / 40)
    # in-degrees are binomial: mean and variance, whose own standard error is sqrt(2 / samples) of it
    for axis, other in ((1, 130), (2, 70)):
        degrees = tables.sum(axis=axis)
        # the fourth moment of rare events, those of Poisson, makes the error of their variance larger
        error = math.sqrt((2 + 1 / (other * max(probability, 1e-3))) / degrees.size)
        assert degrees.var() == pytest.approx(other * spread**2, rel=5 * error)
    # every pair is joined as often as any other: binomial of 40
    if 0 < probability < 1:
        shares = np.bincount(tables.sum(axis=0).ravel(), minlength=41) / n
        assert np.abs(shares - stats.binom.pmf(np.arange(41), 40, probability)).max() < 5 * math.sqrt(0.25 / n)


def test_neighbouring_pairs_of_a_bernoulli_projection_do_not_know_of_each_other() -> None:
    of = circuit(population("S", 300), population("T", 300), rule="bernoulli", probability=0.2)
    joined = table(drawn(of), of).astype(float) - 0.2
    for shift in ((0, 1), (1, 0), (1, 1)):
        correlation = (joined * np.roll(joined, shift, axis=(0, 1))).mean() / 0.16
        assert abs(correlation) < 5 / 300


def test_thinning_in_slabs_is_the_same_in_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    of = circuit(population("S", 90), population("T", 90), rule="bernoulli", probability=0.3, profile=PROFILES[1])
    whole = np.mean([table(drawn(of, seed), of) for seed in range(30)], axis=0)
    monkeypatch.setattr(connection_rules, "_CANDIDATES", 1000)
    made = drawn(of)
    assert (np.diff(made.source) >= 0).all()
    slabs = np.mean([table(drawn(of, seed), of) for seed in range(30)], axis=0)
    assert abs(whole.sum() - slabs.sum()) < 5 * math.sqrt(2 * 8100 * 0.21 / 30)
    np.testing.assert_allclose(whole.sum(axis=0), slabs.sum(axis=0), atol=5 * math.sqrt(2 * 90 * 0.21 / 30))


def test_a_profile_that_asks_for_more_than_all_pairs_is_an_error() -> None:
    of = circuit(population("S", 90), population("T", 90), rule="bernoulli", probability=0.6, profile=PROFILES[1])
    with pytest.raises(DefinitionError, match=r"projection S -> T: its profile gives some pairs the probability 1\.08"):
        drawn(of)


def test_a_profile_that_is_not_normalised_peaks_at_its_formula() -> None:
    profile = Profile(kind="gaussian", width_deg=20.0, normalised=False)
    of = circuit(population("S", 10, 8), population("T", 10, 8), rule="bernoulli", probability=0.8, profile=profile)
    counts = np.mean([table(drawn(of, seed), of) for seed in range(20)], axis=0).reshape(8, 10, 8, 10).mean(axis=(1, 3))
    np.testing.assert_allclose(counts, 0.8 * assembly_profile(profile, 8, 8), atol=5 * math.sqrt(0.25 / 2000))


def test_no_total_reaches_a_probability_of_one() -> None:
    with pytest.raises(DefinitionError, match="joins every pair with probability 1"):
        circuit(population("S", 9), population("T", 9), rule="fixed_total", probability=1.0)


def test_one_to_one_and_all_to_all_are_what_they_say() -> None:
    one = circuit(population("S", 6, 2), population("T", 3, 4), rule="one_to_one")
    np.testing.assert_array_equal(table(drawn(one), one), np.eye(12))
    every = circuit(population("S", 7), population("T", 5, 2), rule="all_to_all")
    np.testing.assert_array_equal(table(drawn(every), every), np.ones((10, 7)))


@pytest.mark.parametrize("rule", RULES)
def test_where_the_matrix_is_zero_there_are_no_synapses(rule: str) -> None:
    of = circuit(
        population("S", 10, 2), population("T", 10, 2), rule=rule, matrix=((0.0, 0.0), (2.0, 0.0)), **RULES[rule]
    )
    made = drawn(of)
    counts = table(made, of)
    assert not counts[:10].any()
    assert not counts[:, 10:].any()
    assert len(made.source) == synapse_count(of.projections[0], *of.populations) or rule == "bernoulli"
    nothing = replace(of, projections=(replace(of.projections[0], matrix=((0.0, 0.0), (0.0, 0.0))),))
    assert len(drawn(nothing).source) == synapse_count(nothing.projections[0], *of.populations) == 0


# --- weights and delays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cv", [0.1, 1.5])
def test_weights_are_normal_and_keep_their_sign(cv: float) -> None:
    made = drawn(circuit(population("S", 200), population("T", 200), in_degree=200, weight_cv=cv))
    assert made.factor is not None
    assert made.factor.dtype == np.float64
    assert made.factor.min() >= 0
    # the normal distribution above 0, and a lump of what was below at 0
    assert stats.kstest(made.factor[made.factor > 0], stats.truncnorm(-1 / cv, np.inf, 1, cv).cdf).pvalue > 1e-3
    below = stats.norm.cdf(-1 / cv)
    assert (made.factor == 0).mean() == pytest.approx(below, abs=5 * math.sqrt(0.25 / 40000))


def test_weights_by_assembly_multiply_the_drawn_ones() -> None:
    matrix = ((1.0, 2.0), (0.5, 3.0))
    of = circuit(population("S", 20, 2), population("T", 20, 2), rule="all_to_all", matrix=matrix, weight_cv=0.1)
    made, plain = drawn(of), drawn(replace(of, projections=(replace(of.projections[0], matrix=()),)))
    assert made.factor is not None
    assert plain.factor is not None
    expected = np.asarray(matrix)[made.target // 20, made.source // 20]
    np.testing.assert_allclose(made.factor, plain.factor * expected)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.kind)
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("assemblies", [1, 4])
def test_all_to_all_weighs_by_the_profile(profile: Profile, normalised: bool, assemblies: int) -> None:
    profile = replace(profile, normalised=normalised)
    p, q = population("S", 40 // assemblies, assemblies), population("T", 40 // assemblies, assemblies)
    of = circuit(p, q, rule="all_to_all", profile=profile)
    made = drawn(of)
    assert made.factor is not None
    weights = np.zeros((40, 40))
    weights[made.target, made.source] = made.factor
    places = assemblies if assemblies > 1 else 40
    shape = assembly_profile(profile, places, places) * (places if normalised else 1)
    np.testing.assert_allclose(weights, np.kron(shape, np.ones((40 // places,) * 2)))
    if assemblies > 1:
        np.testing.assert_allclose(weights[::10, ::10], mean_weight_factors(of.projections[0], of))


def test_delays_are_normal_and_at_least_one_step() -> None:
    """As Potjans & Diesmann draw them: mean 1.5 ms, standard deviation 0.75 ms, truncated below at a step of 0.1 ms."""
    made = drawn(circuit(population("S", 200), population("T", 200), in_degree=500, delay_ms=1.5, delay_cv=0.5))
    assert made.delay_steps is not None
    assert made.delay_steps.dtype == np.int32
    law = stats.truncnorm((0.1 - 1.5) / 0.75, np.inf, 1.5, 0.75)
    assert made.delay_steps.min() == 1
    edges = np.r_[0, np.arange(1, 35) + 0.5, 1000] * 0.1
    expected = np.diff(law.cdf(edges)) * 100_000
    observed = np.bincount(np.minimum(made.delay_steps, 35), minlength=36)[1:]
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


def test_delays_by_assembly_are_rounded_to_the_step() -> None:
    delays = ((0.0, 0.14), (0.26, 12.0))
    of = circuit(population("S", 5, 2), population("T", 5, 2), rule="all_to_all", delay_matrix_ms=delays)
    made = drawn(of)
    assert made.delay_steps is not None
    steps = np.array([[0, 1], [3, 120]])
    np.testing.assert_array_equal(made.delay_steps, steps[made.target // 5, made.source // 5])
    spread = drawn(replace(of, projections=(replace(of.projections[0], delay_cv=0.1),)))
    assert spread.delay_steps is not None
    none, far = (spread.delay_steps[(made.target // 5 == k) & (made.source // 5 == k)] for k in (0, 1))
    assert not none.any(), "a delay of 0 has no spread"
    assert far.std() == pytest.approx(12, rel=0.6)


def test_the_largest_draws_stay_lean() -> None:
    """10 million pairs are not looked at one by one: 100 thousand synapses take a fraction of the table's memory."""
    import tracemalloc

    source, target = population("S", 4000), population("T", 2500)
    joined = circuit(source, target, rule="bernoulli", probability=0.01).projections[0]
    tracemalloc.start()
    source_cells, _ = draw_pairs(joined, source, target, np.random.default_rng(1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert abs(len(source_cells) - 100_000) < 5 * math.sqrt(100_000)
    assert peak < 80 * len(source_cells)


def test_the_circuit_of_the_demonstration_is_drawn_as_ever() -> None:
    """The synapses of the records that were published with it: target by target, first the assembly, then the cell."""
    of = load_circuit("ei_assemblies")
    seed = np.random.SeedSequence(3)
    for k, (projection, made) in enumerate(zip(of.projections, draw(of, seed), strict=True)):
        source, target = of.population(projection.source), of.population(projection.target)
        rng = np.random.default_rng(np.random.SeedSequence(3).spawn(k + 1)[k])
        cumulative = np.cumsum(assembly_profile(projection.profile, target.assemblies, source.assemblies), axis=1)
        shape = (target.assemblies, target.size * projection.in_degree)
        uniform = rng.random(shape)
        rows = [np.searchsorted(c, u, side="right") for c, u in zip(cumulative, uniform, strict=True)]
        cell = np.minimum(np.stack(rows), source.assemblies - 1) * source.size + rng.integers(source.size, size=shape)
        targets = np.arange(target.cells).repeat(projection.in_degree)
        order = np.lexsort((targets, cell.ravel()))
        np.testing.assert_array_equal(made.source, cell.ravel()[order])
        np.testing.assert_array_equal(made.target, targets[order])


def test_every_rule_of_the_vocabulary_is_drawn() -> None:
    assert set(RULES) == set(VOCABULARY) == set(connection_rules._RULES)
