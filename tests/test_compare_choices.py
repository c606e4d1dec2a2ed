"""Seeds are recorded where there is one, and what is drawn is the same again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from compare_synthetic import brain, network

from cortexres.compare import linear_map_r2, rsa, update_scores
from cortexres.compare.choices import check_metrics, check_splits, seeded
from cortexres.errors import ArgumentError


def test_a_seed_is_told_and_a_generator_is_used_as_it_is() -> None:
    seed, rng = seeded(np.int64(3))
    assert seed == 3
    assert rng.random() == np.random.default_rng(3).random()
    given = np.random.default_rng(0)
    assert seeded(given) == (None, given)
    assert seeded(None)[0] is None


def test_scores_that_draw_say_seed_stimuli_and_null() -> None:
    rng = np.random.default_rng(0)
    states = 30 + 3 * rng.standard_normal((10, 6, 4))
    data, net = brain(states, sd=0.5, trials=3, rng=rng), network(states)
    for scores in (update_scores(data, net, rng=7, permutations=9), linear_map_r2(data, net, rng=7)):
        assert json.loads(scores.attrs["cortexres_provenance"])["seed"] == 7
        assert (scores.attrs["n_stimuli"], scores.attrs["n_trials"]) == (10, 3)
        assert scores.attrs["orientation"] == "similarity"
    assert update_scores(data, net, rng=7, permutations=9).attrs["null"] == "permute_stimuli"


def test_unfit_choices_are_refused() -> None:
    for metrics in ((), (rsa, rsa)):
        with pytest.raises(ArgumentError, match="expected at least one and each name once"):
            check_metrics(metrics)
    with pytest.raises(ArgumentError, match="got splits=0, expected at least 1"):
        check_splits(0)
