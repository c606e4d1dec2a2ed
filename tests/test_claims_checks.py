"""Checks of claims: what meets them, what a control shows, and that an outcome survives its file."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from toy_claims import CONTROL, FIGURE, claim, sample, samples

from cortexres.claims import Check, Published, Sample, judge
from cortexres.claims.claim import interval
from cortexres.claims.outcome import from_json, spread
from cortexres.claims.table import claim_text, suite_text
from cortexres.errors import ArgumentError, DataFileError

numbers = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("low", "high", "values", "met"),
    [
        (1.0, None, [1.0, 2.0], True),
        (1.0, None, [0.999, 2.0], False),
        (None, 1.0, [1.0, -5.0], True),
        (None, 1.0, [1.001, -5.0], False),
        (0.0, 0.0, [0.0, 0.0], True),
        (0.0, 0.0, [0.0, 1e-300], False),
        (-1.0, 1.0, [-1.0, 1.0], True),
        (1.0, None, [math.nan, 2.0], False),
        (None, 1.0, [math.nan], False),
        (1.0, None, [math.inf], True),
        (None, 1.0, [math.inf], False),
    ],
)
def test_every_seed_must_lie_in_the_range(
    low: float | None, high: float | None, values: list[float], met: bool
) -> None:
    assert Check(figure=FIGURE, at_least=low, at_most=high).met(values) is met


def test_the_interval_of_a_mean_is_that_of_students_test() -> None:
    values = np.random.default_rng(0).normal(1.0, 2.0, 7)
    found = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose(interval(values), (found.low, found.high), rtol=1e-12)


@settings(max_examples=40)
@given(st.lists(numbers, min_size=3, max_size=8).filter(lambda v: np.ptp(v) > 1e-3), st.booleans())
def test_a_direction_is_shown_where_a_t_test_shows_it(values: list[float], upwards: bool) -> None:
    """`of="mean"` with the bound 0 is the two-sided test at 5 %, and in the direction of the bound."""
    check = Check(figure=FIGURE, of="mean", **({"at_least": 0.0} if upwards else {"at_most": 0.0}))
    test = stats.ttest_1samp(values, 0.0)
    if abs(test.pvalue - 0.05) > 1e-9:
        assert check.met(values) == (test.pvalue < 0.05 and (test.statistic > 0) == upwards)


def test_a_mean_needs_three_seeds_and_no_gap() -> None:
    check = Check(figure=FIGURE, at_least=0.0, of="mean")
    assert check.met([1.0, 1.0, 1.0])
    assert not check.met([1.0, 1.0, math.nan])
    with pytest.raises(ArgumentError, match=r"got 2 seeds for 'weight \(kg\)', expected 3 or more"):
        check.met([1.0, 1.0])
    with pytest.raises(ArgumentError, match="got 0 seeds"):
        Check(figure=FIGURE, at_least=0.0).met([])


@pytest.mark.parametrize("bounds", [{}, {"at_least": 2.0, "at_most": 1.0}, {"at_least": math.nan}])
def test_a_check_has_a_range(bounds: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=r"for 'weight \(kg\)', expected one bound"):
        Check(figure=FIGURE, **bounds)


def test_ranges_as_people_write_them() -> None:
    assert Check(figure=FIGURE, at_least=1.5).wanted() == ">= 1.5"
    assert Check(figure=FIGURE, at_most=1e-12).wanted() == "<= 1e-12"
    assert Check(figure=FIGURE, at_least=1, at_most=2, of="mean").wanted() == "1 .. 2, mean's interval"
    assert Check(figure=FIGURE, at_least=0, at_most=0).wanted() == "0"


def test_a_claim_has_a_control_and_three_seeds() -> None:
    with pytest.raises(ArgumentError, match="'toy_2000' without a control, expected a check that fails"):
        claim(Check(figure=FIGURE, at_least=1.0))
    with pytest.raises(ArgumentError, match="got seeds=2 for 'toy_2000', expected 3 or more"):
        claim(seeds=2)


def test_a_claim_holds_where_its_checks_are_met_and_fail_without_the_effect() -> None:
    outcome = judge(claim(), samples([2.0, 3.0, 4.0]), minutes=0.5)
    assert outcome.holds
    (line,) = outcome.lines
    assert (line.values, line.control_values) == ((2.0, 3.0, 4.0), (0.0, 0.0, 0.0))
    assert (line.met, line.control_fails, line.wanted) == (True, True, ">= 1")
    assert (outcome.seeds, outcome.minutes, outcome.published) == (3, 0.5, "9.8 N per kg")


def test_a_check_that_its_control_meets_shows_nothing() -> None:
    outcome = judge(claim(), samples([2.0, 3.0, 4.0], [1.0, 2.0, 5.0]), minutes=0.0)
    assert outcome.lines[0].met
    assert not outcome.holds
    assert "CONTROL DOES NOT FAIL" in claim_text(outcome)
    assert "DOES NOT HOLD" in claim_text(outcome)


@pytest.mark.parametrize("control", [[2.0, 0.5, 0.5], [0.5, 0.5, math.nan]])
def test_a_control_fails_at_every_seed_or_shows_nothing(control: list[float]) -> None:
    assert not judge(claim(), samples([2.0, 3.0, 4.0], control), minutes=0.0).holds


@settings(max_examples=40)
@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=8))
def test_the_control_of_a_mean_differs_from_the_effect_by_a_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    """A control whose interval is wide, and not away from the effect, is no control that fails."""
    values, without = (list(column) for column in zip(*pairs, strict=True))
    assume(np.ptp(np.subtract(values, without)) > 1e-3)
    check = Check(figure=FIGURE, at_least=0.0, of="mean")
    test = stats.ttest_rel(values, without)
    if abs(test.pvalue - 0.05) > 1e-9:
        assert check.fails_without(without, values) == (
            not check.met(without) and test.pvalue < 0.05 and test.statistic > 0
        )


def test_one_failed_check_of_several_is_enough() -> None:
    checks = (Check(figure=FIGURE, at_least=1.0, control=CONTROL), Check(figure="height (m)", at_most=1.0))
    found = [Sample(figures={FIGURE: 2.0, "height (m)": 3.0}, controls={CONTROL: {FIGURE: 0.0}})] * 3
    outcome = judge(claim(*checks), found, minutes=0.0)
    assert [line.holds for line in outcome.lines] == [True, False]
    assert not outcome.holds
    assert "FAILED" in claim_text(outcome)


def test_other_figures_are_told_and_not_judged() -> None:
    found = [
        Sample(figures={FIGURE: 2.0, "width (m)": k}, controls={CONTROL: {FIGURE: 0.0, "width (m)": -k}})
        for k in range(3)
    ]
    outcome = judge(claim(), found, minutes=0.0)
    other = outcome.lines[1]
    assert (other.figure, other.values, other.met, other.wanted) == ("width (m)", (0.0, 1.0, 2.0), None, "")
    assert (other.control, other.control_values) == (CONTROL, (0.0, -1.0, -2.0))
    assert outcome.holds


def test_a_sample_without_what_a_check_names_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"expected 'weight \(kg\)' among them"):
        judge(claim(), [Sample(figures={})] * 3, minutes=0.0)
    with pytest.raises(ArgumentError, match="expected 'nothing on the scales' among them"):
        judge(claim(), [Sample(figures={FIGURE: 2.0})] * 3, minutes=0.0)
    with pytest.raises(ArgumentError, match=r"expected 'weight \(kg\)' among them"):
        judge(claim(), [Sample(figures={FIGURE: 2.0}, controls={CONTROL: {}})] * 3, minutes=0.0)


@settings(max_examples=40)
@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=5))
def test_an_outcome_comes_back_from_its_file(values: list[tuple[float, float]]) -> None:
    outcome = judge(claim(remarks="|"), [sample(a, b, other=a + b) for a, b in values], minutes=1.25, setting="large")
    again = from_json(outcome.to_json())
    assert again == outcome
    assert again.holds == outcome.holds


def test_an_outcome_of_undefined_figures_comes_back_too() -> None:
    outcome = judge(claim(), samples([math.nan, math.inf, 2.0]), minutes=0.0)
    again = from_json(outcome.to_json())
    np.testing.assert_array_equal(again.lines[0].values, [math.nan, math.inf, 2.0])
    assert not again.holds


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"holds": true}', '{"holds": true, "lines": [{"no": 1}]}'])
def test_a_text_that_is_no_outcome_is_refused(text: str) -> None:
    with pytest.raises(DataFileError, match=r"got a text that is no outcome of a claim .* expected outcome.json"):
        from_json(text)


def test_a_published_figure_that_nobody_confirmed_is_marked() -> None:
    assert str(Published("4 %", confirmed=False)) == "4 % (not confirmed)"
    outcome = judge(claim(published=Published("4 %", confirmed=False)), samples([2.0] * 3), minutes=0.0)
    assert "(not confirmed)" in claim_text(outcome)
    assert "(not" in suite_text([outcome])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, 1.0], "1"),
        ([1.0, 2.0], "1.5 (1 to 2)"),
        ([], ""),
        ([math.nan, 1.0, 2.0], "1.5 (1 to 2), undefined at 1 of 3 seeds"),
        ([math.nan, math.nan], "undefined at 2 of 2 seeds"),
        ([math.inf, 1.0], "inf (1 to inf)"),
    ],
)
def test_spreads(values: list[float], text: str) -> None:
    assert spread(values) == text
