"""Classifiers over time and depth: scikit-learn's and MNE's decisions, known codes, and nothing found in nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from compare_synthetic import brain, network
from macaque_it import macaque_it, needs_macaque_it
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cortexres.compare.encoding.accuracy import left_out_accuracy
from cortexres.compare.encoding.classifiers import decided, max_correlation, shrinkage_lda, shrunken_parts
from cortexres.compare.encoding.examples import Examples, of_brain
from cortexres.compare.encoding.generalise import generalise
from cortexres.compare.encoding.generalise_across import generalise_across
from cortexres.compare.encoding.shared_maps import paired_states, procrustes_map, ridge_map, same_units_map
from cortexres.errors import ArgumentError, SchemaError

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_CUDA)]
CLASSES = np.repeat(np.arange(4), 6)
N, UNITS = CLASSES.size, 8


def coded(rng: np.random.Generator, *, gains: list[float], own: float = 0.3) -> np.ndarray:
    """Return states (stimulus, step, unit): a code for the class, of another strength at each step, and their own."""
    code = rng.standard_normal((4, UNITS))[CLASSES]
    return (code + own * rng.standard_normal((N, UNITS)))[:, None] * np.asarray(gains)[:, None]


@pytest.mark.parametrize("units", [6, 40, 90])
def test_discriminants_are_those_of_scikit_learn(units: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(3), 20))
    x = rng.standard_normal((2, 60, units)) + rng.standard_normal((3, units))[labels]
    x[:, labels == 1, 0] = 2.0  # a unit that is silent for one class
    x[0, :, 1] = 5.0  # and one that never varies
    learned = shrinkage_lda.learn(x, labels, 3)
    new = rng.standard_normal((2, 30, units)) * 2
    decisions = decided(learned, new)
    for k in range(2):
        oracle = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
        oracle.fit(x[k], labels)
        scores = np.einsum("gu,mu->mg", learned.weights[k], new[k]) + learned.bias[k]
        expected = oracle.decision_function(new[k]) + np.log(3)
        np.testing.assert_allclose(scores, expected, atol=1e-8)
        for other in range(2):
            np.testing.assert_array_equal(decisions[k, other], oracle.predict(new[other]))


def test_templates_decide_by_the_correlation_over_units() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(5), 4)
    x, new = rng.standard_normal((3, 20, UNITS)) + 3, rng.standard_normal((2, 15, UNITS))
    decisions = decided(max_correlation.learn(x, groups, 5), new)
    for k in range(3):
        mean, sd = x[k].mean(axis=0), x[k].std(axis=0)
        templates = np.array([((x[k] - mean) / sd)[groups == g].mean(axis=0) for g in range(5)])
        for other in range(2):
            r = np.corrcoef(templates, (new[other] - mean) / sd)[:5, 5:]
            np.testing.assert_array_equal(decisions[k, other], r.argmax(axis=0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("classifier", [max_correlation, shrinkage_lda])
@pytest.mark.parametrize("units", [5, 50])
def test_tensors_give_what_arrays_give(device: str, classifier, units: int) -> None:  # noqa: ANN001
    rng = np.random.default_rng(2)
    x, groups, new = rng.standard_normal((2, 24, units)), np.arange(24) % 4, rng.standard_normal((3, 9, units))
    here = classifier.learn(x, groups, 4)
    there = classifier.learn(torch.tensor(x, device=device), torch.tensor(groups, device=device), 4)
    np.testing.assert_allclose(there.weights.cpu().numpy(), here.weights, atol=1e-9)
    np.testing.assert_allclose(there.bias.cpu().numpy(), here.bias, atol=1e-9)
    np.testing.assert_array_equal(decided(there, torch.tensor(new, device=device)).cpu().numpy(), decided(here, new))


def test_the_mean_of_few_examples_still_has_an_invertible_covariance() -> None:
    rows, diagonal = shrunken_parts(np.zeros((1, 1, 3)))
    assert (rows == 0).all()
    assert (diagonal == 0).all()
    x = np.random.default_rng(3).standard_normal((1, 3, 4))
    learned = shrinkage_lda.learn(x, np.arange(3), 3)  # one example each: nothing deviates
    assert np.isfinite(learned.weights).all()
    np.testing.assert_array_equal(decided(learned, x)[0, 0], [0, 1, 2])


@pytest.mark.parametrize("classifier", [max_correlation, shrinkage_lda])
def test_a_code_that_holds_gives_a_square_and_one_that_changes_a_diagonal(classifier) -> None:  # noqa: ANN001
    rng = np.random.default_rng(4)
    held = 40 + coded(rng, gains=[0.0, 1.0, 1.0, 1.0])
    data = brain(held, sd=0.5, trials=10, rng=rng)
    scores = generalise(data, CLASSES, classifier=classifier, rng=0)
    assert scores["accuracy"].dims == ("time", "time_test")
    np.testing.assert_allclose(scores["time_test"], data["time"])
    assert scores.attrs["chance"] == 0.25
    assert float(scores["accuracy"][1:, 1:].min()) > 0.9
    assert np.abs(scores["accuracy"][:, 0] - 0.25).max() < 0.12
    changing = np.stack([40 + coded(rng, gains=[1.0])[:, 0] for _ in range(3)], axis=1)
    matrix = generalise(brain(changing, sd=0.5, trials=10, rng=rng), CLASSES, classifier=classifier, rng=0)["accuracy"]
    assert np.diag(matrix).min() > 0.9
    assert matrix.values[~np.eye(3, dtype=bool)].mean() < 0.5


def test_blocks_generalise_over_stimuli_and_constant_ones_are_undefined() -> None:
    states = coded(np.random.default_rng(5), gains=[0.0, 1.0, 2.0])
    scores = generalise(network(states), CLASSES, classifier=max_correlation, permutations=19, rng=0)
    assert scores["accuracy"].dims == ("block", "block_test")
    assert np.isnan(scores["accuracy"][0]).all()
    assert "[0]" in scores["accuracy"].attrs["undefined"]
    assert float(scores["accuracy"][1:, 1:].min()) > 0.9
    assert (scores["accuracy_p"][1:, 1:] == 1 / 20).all()
    assert float(scores["accuracy_null_max"]) < 0.7
    assert scores.attrs["null"] == "permute_classes"
    names = np.array(["a", "b", "c", "d"])[CLASSES]
    named = network(states).assign_coords(category=("stimulus", names))
    again = generalise(named, "category", classifier=max_correlation, permutations=19, rng=0)
    xr.testing.assert_equal(again["accuracy"], scores["accuracy"])


def test_unequal_classes_still_have_the_chance_that_is_said() -> None:
    rng = np.random.default_rng(6)
    labels = np.repeat([0, 1], [20, 4])
    data = brain(np.full((24, 1, UNITS), 40.0), sd=3.0, trials=10, rng=rng)
    values = [generalise(data, labels, classifier=max_correlation, rng=seed)["accuracy"].values for seed in range(5)]
    assert abs(np.mean(values) - 0.5) < 0.1
    always = Examples(np.ones((1, 24, 3)), labels, np.arange(24))
    assert left_out_accuracy(always, np.arange(24) % 4, shrinkage_lda)[0, 0] == pytest.approx(0.5)


def test_nothing_is_found_in_noise_at_the_stated_rate() -> None:
    p = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        data = brain(np.full((8, 2, 4), 40.0), sd=3.0, trials=4, rng=rng)
        scores = generalise(
            data, np.arange(8) // 2, classifier=max_correlation, folds=2, permutations=19, leave_out="trial", rng=seed
        )
        p.append(float(scores["accuracy_p"].min()))
    assert np.mean(np.array(p) <= 0.05) < 0.16
    assert 0.35 < np.mean(p) < 0.7


@pytest.mark.parametrize("shared", [ridge_map, procrustes_map])
def test_a_network_in_other_units_with_the_brains_code_is_found_at_its_time(shared) -> None:  # noqa: ANN001
    """Two codes one after the other: the network has them in blocks 1 and 2, the brain at 10-20 and 20-30 ms."""
    rng = np.random.default_rng(7)
    classes = np.repeat(np.arange(4), 15)
    early, late = (
        np.pad(2 * rng.standard_normal((4, 4))[classes] + 0.3 * rng.standard_normal((60, 4)), ((0, 0), pad))
        for pad in ((0, 4), (4, 0))
    )
    steps = np.stack([0 * early, early, late], axis=1)
    states = steps @ np.linalg.qr(rng.standard_normal((20, UNITS)))[0].T
    data = brain(40 + np.repeat(steps, 2, axis=1), sd=0.5, trials=6, rng=rng)
    scores = generalise_across(data, network(states), classes, shared_map=shared, permutations=19, rng=0)
    assert scores["accuracy"].dims == ("block", "time")
    assert np.isnan(scores["accuracy"][0]).all()
    found = scores["accuracy"].values[1:]
    assert np.abs(found[:, :2] - 0.25).max() < 0.1
    assert min(found[0, 2:4].min(), found[1, 4:].min()) > 0.8
    assert max(found[0, 4:].max(), found[1, 2:4].max()) < 0.6
    assert (scores["accuracy_p"].values[1, 2:4] == 1 / 20).all()
    assert float(scores["accuracy_ceiling"][2:].min()) > 0.9
    timed = generalise_across(data, network(states), classes, shared_map=shared, t_ms=[2.5, 15.0, 25.0], rng=0)
    assert timed["accuracy"].values[1, 2:4].min() > 0.8
    assert "favours" in timed.attrs["learned_from"]


def test_random_states_hold_no_class_however_wide_the_layer() -> None:
    """Neither map lends the brain's code to the network, as one would whose stimuli teach the classifier too."""
    values = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        data = brain(40 + coded(rng, gains=[1.0, 1.0]), sd=0.3, trials=4, rng=rng)
        net = network(rng.standard_normal((N, 2, 60)))
        for shared in (ridge_map, procrustes_map):
            values.append(generalise_across(data, net, CLASSES, shared_map=shared, rng=seed)["accuracy"].values.mean())
    assert abs(np.mean(values) - 0.25) < 0.04


@pytest.mark.slow
@pytest.mark.parametrize("coded_side", ["brain", "network"])
def test_a_code_on_one_side_alone_is_significant_at_the_stated_rate(coded_side: str) -> None:
    """Permuting the side that has the code alone would find random states in it too often."""
    p = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        classes = np.repeat(np.arange(4), 4)
        code = 3 * rng.standard_normal((4, 4))[classes] + rng.standard_normal((16, 4))
        noise = rng.standard_normal((16, 4))
        rates, states = (code, noise) if coded_side == "brain" else (noise, code)
        data, net = brain(400 + rates[:, None], sd=0.5, trials=2, rng=rng), network(states[:, None])
        options = {"classifier": max_correlation, "folds": 4, "permutations": 19, "rng": seed}
        p.append(float(generalise_across(data, net, classes, shared_map=procrustes_map, **options)["accuracy_p"][0, 0]))
    assert np.mean(np.array(p) <= 0.05) <= 0.1
    assert np.mean(p) > 0.4


def test_the_same_units_need_no_map() -> None:
    rng = np.random.default_rng(8)
    states = coded(rng, gains=[1.0, 1.0, 1.0])
    data, net = brain(40 + states, sd=0.3, trials=4, rng=rng), network(states)
    scores = generalise_across(data, net, CLASSES, shared_map=same_units_map, classifier=max_correlation, rng=0)
    assert float(scores["accuracy"].min()) > 0.8
    turned = network(states @ np.linalg.qr(rng.standard_normal((UNITS, UNITS)))[0])
    other = generalise_across(data, turned, CLASSES, shared_map=same_units_map, classifier=max_correlation, rng=0)
    assert float(other["accuracy"].mean()) < 0.5


def test_shared_maps_find_the_rotation_that_was_made() -> None:
    rng = np.random.default_rng(9)
    x = rng.standard_normal((2, 30, 5))
    rotation = np.linalg.qr(rng.standard_normal((9, 5)))[0].T
    x -= x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(procrustes_map.learn(x, 3.0 * x @ rotation), 3.0 * rotation, atol=1e-10)
    np.testing.assert_allclose(ridge_map.learn(x, 3.0 * x @ rotation), 3.0 * rotation, atol=1e-4)
    assert (procrustes_map.learn(0 * x, x @ rotation) == 0).all()


def test_pairs_are_interpolated_between_bins() -> None:
    time = np.array([-5.0, 5.0, 15.0])
    states = np.arange(3.0)[:, None, None] * np.ones((3, 4, 2))
    blocks = np.ones((4, 4, 6))
    here, there = paired_states(states, blocks, time, [0.0, 5.0, 12.5, 40.0])
    np.testing.assert_allclose(here[:, 0, 0], [0.5, 1.0, 1.75])
    assert there.shape == (3, 4, 6)
    here, there = paired_states(states, blocks, time, None)
    np.testing.assert_allclose(here[:, 0, 0], [1.5])
    assert there.shape == (1, 4, 6)
    with pytest.raises(ArgumentError, match=r"t_ms of shape \(2,\)"):
        paired_states(states, blocks, time, [0.0, 1.0])
    with pytest.raises(ArgumentError, match="expected a block within the recording"):
        paired_states(states, blocks, time, [50.0, 60.0, 70.0, 80.0])
    with pytest.raises(ArgumentError, match="ends at -5 ms"):
        paired_states(states, blocks, time - 20, None)


def test_unfit_arguments_are_refused() -> None:
    rng = np.random.default_rng(10)
    states = coded(rng, gains=[1.0, 1.0])
    data, net = brain(40 + states, sd=0.5, trials=4, rng=rng), network(states)
    with pytest.raises(ArgumentError, match="got labels='kind', expected a coordinate"):
        generalise(data, "kind")
    with pytest.raises(ArgumentError, match=r"got labels of shape \(3,\)"):
        generalise(data, [0, 1, 2])
    with pytest.raises(ArgumentError, match="got 1 class"):
        generalise(data, np.zeros(N))
    with pytest.raises(ArgumentError, match="as a network has one response"):
        generalise(net, CLASSES, leave_out="trial")
    with pytest.raises(ArgumentError, match="leave_out='unit'"):
        generalise(data, CLASSES, leave_out="unit")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="got folds=5 for 4 trials"):
        generalise(data, CLASSES)
    with pytest.raises(ArgumentError, match="got folds=30 for 24 stimuli"):
        generalise(net, CLASSES, folds=30)
    with pytest.raises(ArgumentError, match="is in one fold only"):
        generalise(net, np.arange(N) // 23)
    with pytest.raises(ArgumentError, match="got 1 unit"):
        generalise(data.isel(unit=[0]), CLASSES, folds=2)
    with pytest.raises(ArgumentError, match="permutations=-1"):
        generalise(data, CLASSES, folds=2, permutations=-1)
    with pytest.raises(ArgumentError, match="permutations=-1"):
        generalise_across(data, net, CLASSES, permutations=-1)
    with pytest.raises(ArgumentError, match="one for the map and another for the classifier"):
        generalise_across(data, net, np.arange(N) // 2)
    with pytest.raises(SchemaError, match="stimulus ids differ"):
        generalise_across(data, net.isel(stimulus=slice(1, None)), CLASSES)
    with pytest.raises(SchemaError, match="units differ"):
        generalise_across(data, net.isel(unit=slice(3)), CLASSES, shared_map=same_units_map)


@needs_macaque_it
def test_objects_are_read_from_inferotemporal_cortex_as_well_as_is_known() -> None:
    """Values listed with the recording: maximum correlation, and MNE's generalisation over time by shrinkage LDA."""
    examples = of_brain(macaque_it(), np.repeat(np.arange(7), 3))
    correlation = np.diag(left_out_accuracy(examples, np.tile(np.arange(20) % 5, 21), max_correlation))
    np.testing.assert_allclose(correlation[10:], [0.374, 0.724, 0.871, 0.817, 0.814, 0.790, 0.740, 0.688], atol=6e-4)
    assert abs(correlation[:8].mean() - 1 / 7) < 0.02
    fold = np.empty(420, dtype=int)
    splits = StratifiedKFold(5, shuffle=True, random_state=0).split(np.zeros(420), examples.classes)
    for k, (_, test) in enumerate(splits):
        fold[test] = k
    matrix = left_out_accuracy(examples, fold, shrinkage_lda)
    np.testing.assert_allclose(
        np.diag(matrix)[10:], [0.429, 0.783, 0.871, 0.895, 0.836, 0.814, 0.781, 0.705], atol=6e-4
    )
    assert matrix[12, 17] == pytest.approx(0.555, abs=6e-4)
