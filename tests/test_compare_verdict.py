"""The verdict says what was shown, against which null, and what was not; it corrects for all tests it is handed."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from compare_synthetic import brain, network

from cortexres.compare import (
    compare,
    generalise,
    generalise_across,
    linear_cka,
    permute_stimuli,
    rsa,
    state_scores,
    update_scores,
)
from cortexres.compare.against import SimilarityMap
from cortexres.compare.nulls import (
    CircularShift,
    ConstantTrace,
    LeakOnly,
    ModelNull,
    ShuffledBlocks,
    null_scores,
)
from cortexres.compare.verdicts import findings, verdict
from cortexres.compare.verdicts.verdict import holm
from cortexres.errors import ArgumentError


def pair(seed: int = 0, *, sd: float = 0.5, related: bool = True) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a brain and a network of rotating states, the same ones or others."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0.0, np.pi, 8)[:, None]

    def states() -> np.ndarray:
        early, late = rng.standard_normal((2, 20, 6))
        return 30 + 3 * (early[:, None] * np.cos(turn) + late[:, None] * np.sin(turn))

    first = states()
    return brain(first, sd=sd, trials=6, rng=rng), network(first if related else states())


def along(data: xr.Dataset, net: xr.Dataset) -> float:
    """Return the mean over blocks of the similarity of block k and bin k."""
    return float(np.diag(SimilarityMap(linear_cka)(data, net)).mean())


def test_a_related_pair_is_shown_to_treat_stimuli_alike_and_nothing_else() -> None:
    data, net = pair()
    scores = compare(data, net, nulls=[permute_stimuli], permutations=199, rng=0)
    result = verdict(scores)
    assert len(result.shown) == 2
    for text, name in zip(result.shown, ("linear_cka", "rsa"), strict=True):
        assert text.startswith(f"{name} = 0.9")
        assert "against permute_stimuli, p = 0.005, corrected for the whole map" in text
        assert "; 0.01 for all 2 tests" in text
        assert text.endswith("brain and network share something of how they tell these stimuli apart")
    assert result.against == ("permute_stimuli",)
    assert [text.split(":")[0] for text in result.not_shown] == [
        "that time in the brain and depth in the network go together",
        "that the way between first and last state matters, beyond a leak or no dynamics",
        "that the network's weights and recurrence matter, and not just any response to the same stimuli",
    ]
    assert result.warnings == ()
    assert str(result).startswith("Shown:\n- linear_cka = ")
    assert str(result).endswith("Against:\n- permute_stimuli\nBeware:\n- nothing")


def test_an_unrelated_pair_is_not_shown_to_be_anything() -> None:
    data, net = pair(1, related=False)
    result = verdict(compare(data, net, nulls=[permute_stimuli], permutations=199, rng=0))
    assert result.shown == ()
    assert "not shown that brain and network share something of how they tell these" in result.not_shown[0]


def test_the_least_p_value_is_at_the_best_cell_with_its_ceiling() -> None:
    data, net = pair()
    scores = compare(data, net, metrics=[rsa], nulls=[permute_stimuli], permutations=99, rng=0)
    (found,) = findings(scores)
    time, block = np.unravel_index(int(np.nanargmax(scores["rsa"])), (8, 8))
    assert found.value == pytest.approx(float(scores["rsa"].max()))
    assert found.where == f" at time {2.5 + 5 * time:g} ms, block {block}, of 64 cells"
    assert found.ceiling == pytest.approx(float(scores["rsa_ceiling"][time]))
    assert found.p == pytest.approx(0.01)


def test_every_null_shows_its_own_and_a_tied_one_is_named() -> None:
    data, net = pair()
    other = ModelNull("random_weights", lambda rng: network(rng.standard_normal((20, 8, 6))))
    nulls = [permute_stimuli, ShuffledBlocks(), LeakOnly(), ConstantTrace(), other, ModelNull("untied", net)]
    result = verdict(null_scores(data, net, along, nulls, draws=150, rng=0))
    assert [text.split("against ")[1].split(",")[0] for text in result.shown] == [
        "permute_stimuli",
        "shuffled_blocks",
        "leak_only",
        "constant_trace",
        "random_weights",
    ]
    assert "(95 % interval over stimuli): the network's way from its first to its last state" in result.shown[2]
    assert "against untied, more by 0 to 0 (95 % interval over stimuli); not shown" in result.not_shown[0]
    assert "untied leaves the score as it is, so it can show nothing" in result.warnings
    assert "3 intervals of differences hold for each alone, at 95 %, and not for all of them" in result.warnings
    assert "or that neighbouring ones are alike" in result.shown[1]
    assert any(text.startswith("that time in the brain and depth") for text in result.not_shown)


def test_a_joined_null_answers_neither_question() -> None:
    data, net = pair()
    result = verdict(null_scores(data, net, along, [permute_stimuli & ShuffledBlocks()], draws=99, rng=0))
    assert "at least one of two" in result.shown[0]
    assert any(text.startswith("that brain and network share something") for text in result.not_shown)
    assert any(text.startswith("that time in the brain and depth") for text in result.not_shown)


def test_a_null_that_cannot_change_a_map_is_warned_about() -> None:
    data, net = pair()
    scores = compare(data, net, metrics=[rsa], nulls=[permute_stimuli, CircularShift()], permutations=99, rng=0)
    result = verdict(scores)
    assert len(result.shown) == 1
    assert "against circular_shift, p = 1" in result.not_shown[0]
    assert any(text.startswith("rsa against circular_shift: every draw reaches the best") for text in result.warnings)


def test_values_without_a_null_show_nothing() -> None:
    data, net = pair()
    result = verdict(state_scores(data.isel(time=slice(0, 7)), net))
    assert result.shown == ()
    assert result.against == ()
    assert result.not_shown[0].startswith("r2, shape_r2, ")
    assert result.not_shown[0].endswith("no null was computed, and a value alone shows nothing")
    assert "constant_r2" in result.not_shown[0]
    assert "ceiling" not in result.not_shown[0]
    assert len(result.not_shown) == 5


def test_p_values_are_corrected_by_holm_for_all_that_is_handed_in() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, np.nan, 0.005]), [0.03, 0.06, 0.06, np.nan, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]) == []
    one = xr.Dataset({"a": 1.0, "a_p": ((), 0.03, {"long_name": "p-value against permuted stimuli"})})
    two = one.rename(a="b", a_p="b_p")
    assert len(verdict(one).shown) == 1
    assert verdict(one, two).shown == ()
    assert "p = 0.03; 0.06 for all 2 tests" in verdict(one, two).not_shown[0]
    assert verdict(one).against == ("permute_stimuli",)


def test_a_map_that_does_not_say_it_is_corrected_is_corrected_for_its_cells() -> None:
    p = np.array([[0.2, 0.004], [np.nan, 0.5]])
    scores = xr.Dataset(
        {
            "m": (("time", "block"), [[1.0, 2.0], [3.0, 4.0]]),
            "m_p": (("time", "block"), p, {"long_name": "p-value"}),
            "m_p_cell": (("time", "block"), p / 100, {"long_name": "p-value of each cell alone"}),
        },
        attrs={"null": "permute_stimuli"},
    )
    (found,) = findings(scores)
    assert found.p == pytest.approx(0.012)
    assert found.corrected == "Bonferroni over 3 cells"
    assert found.value == 2.0
    licensed = scores.drop_vars("m_p").rename(m_p_cell="m_p_max")
    licensed["m_p_max"].attrs.update(licenses="each cell alone", long_name="p-value, max")
    (found,) = findings(licensed)
    assert found.claim == "each cell alone"
    assert found.corrected == "max"


def test_a_distance_counts_downwards() -> None:
    data, net = pair()

    def distance(d: xr.Dataset, n: xr.Dataset) -> float:
        return 1 - along(d, n)

    scores = null_scores(data, net, distance, [LeakOnly(), permute_stimuli], draws=99, orientation="distance", rng=0)
    result = verdict(scores)
    assert [text.split("against ")[1].split(",")[0] for text in result.shown] == ["leak_only", "permute_stimuli"]


def test_of_equal_p_values_the_nearest_distance_is_reported() -> None:
    values = [[3.0, 1.0], [2.0, 4.0]]
    p = xr.Variable(("time", "block"), np.full((2, 2), 0.01), {"long_name": "p-value, corrected for the whole map"})
    attrs = {"orientation": "distance", "null": "permute_stimuli"}
    scores = xr.Dataset({"d": (("time", "block"), values), "d_p": p}, attrs=attrs)
    assert findings(scores)[0].value == 1.0
    assert findings(scores.assign_attrs(orientation="similarity"))[0].value == 4.0


def test_scores_of_several_networks_are_told_apart() -> None:
    data, net = pair()
    other = pair(2, related=False)[1].assign_attrs(model="other")
    scores = [compare(data, n, metrics=[rsa], nulls=[permute_stimuli], permutations=99, rng=0) for n in (net, other)]
    result = verdict(*scores)
    assert result.shown[0].startswith("synthetic: rsa = ")
    assert result.not_shown[0].startswith("other: rsa = ")


def test_ceilings_at_zero_few_draws_and_a_single_measure_are_warned_about() -> None:
    rng = np.random.default_rng(3)
    noise = brain(np.full((20, 8, 6), 30.0), sd=1.0, trials=6, rng=rng)
    with pytest.warns(UserWarning, match="ceiling not above zero"):
        scores = compare(noise, pair()[1], metrics=[linear_cka], nulls=[permute_stimuli], permutations=9, rng=0)
    result = verdict(scores)
    assert any(text.startswith("linear_cka_ceiling is not above zero (p = ") for text in result.warnings)
    assert "9 draws of a null cannot give p <= 0.05 for the first of 1 tests; use at least 19" in result.warnings
    assert any(text.startswith("one measure only") for text in result.warnings)


def test_update_scores_are_read_too() -> None:
    data, net = pair()
    result = verdict(update_scores(data, net, rng=0))
    assert [text.split(" = ")[0] for text in result.shown] == ["correlation", "specific", "cosine"]


def test_decoding_on_one_side_says_nothing_of_the_other() -> None:
    data, net = pair()
    labels = np.repeat([0, 1], 10)
    late = data.isel(time=[0, 7])
    decoded = verdict(generalise(late, labels, leave_out="stimulus", folds=2, permutations=19, rng=0))
    for text in (*decoded.shown, *decoded.not_shown):
        assert "brain and network share" not in text or text.startswith("that ")
    assert any(text.startswith("that brain and network share something") for text in decoded.not_shown)
    across = verdict(generalise_across(late, net.isel(block=[0, 1, 2]), labels, permutations=19, folds=2, rng=0))
    (text,) = (t for t in (*across.shown, *across.not_shown) if t.startswith("accuracy"))
    assert text.endswith("does so in the brain, through one map for all times and blocks")


@pytest.mark.parametrize(("rho", "when"), [(0.9, "later"), (-0.9, "earlier")])
def test_an_order_of_latencies_has_a_direction(rho: float, when: str) -> None:
    p = xr.Variable((), 0.01, {"long_name": "p-value against one time course for all blocks"})
    (found,) = findings(xr.Dataset({"rho": rho, "p": p}))
    assert found.claim.startswith(f"later blocks have {when} latencies")


def test_unfit_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="got 0 Datasets"):
        verdict()
    with pytest.raises(ArgumentError, match="level=2, expected"):
        verdict(xr.Dataset(), level=2.0)
