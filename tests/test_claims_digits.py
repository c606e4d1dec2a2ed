"""The task of the small claims: what is drawn is not tested on, errors are counted, networks are trained in place."""

import torch
import xarray as xr

from cortexres import nn
from cortexres.claims import digits


def test_those_tested_on_are_not_trained_on_and_are_the_same_each_time() -> None:
    shown, others = digits.images(), digits.others()
    assert (shown.sizes["stimulus"], others.sizes["stimulus"]) == (1297, 500)
    assert not set(shown["stimulus"].to_numpy()) & set(others["stimulus"].to_numpy())
    xr.testing.assert_identical(shown, digits.images())


def test_few_digits_are_drawn_anew_for_each_seed_and_all_others_are_the_rest() -> None:
    shown, rest = digits.few(3, count=40)
    again, _ = digits.few(4, count=40)
    assert shown.sizes["stimulus"] == 40
    assert shown.sizes["stimulus"] + rest.sizes["stimulus"] == digits.TOTAL
    assert not set(shown["stimulus"].to_numpy()) & set(rest["stimulus"].to_numpy())
    assert set(shown["stimulus"].to_numpy()) != set(again["stimulus"].to_numpy())


def test_what_a_script_writes_into_its_digits_stays_there() -> None:
    digits.few(3, count=40)[0]["label"][:] = -1
    assert (digits.few(3, count=40)[0]["label"] >= 0).all()


def test_an_error_is_the_percentage_whose_largest_logit_is_of_another_class() -> None:
    data, _ = digits.few(0, count=40)
    right = torch.eye(10)[torch.as_tensor(data["label"].to_numpy())]
    assert digits.error_of(right, data) == 0.0
    half = torch.cat([right[:20], right[20:].roll(1, dims=1)])
    assert digits.error_of(half, data) == 50.0


def test_a_network_learns_in_place() -> None:
    data, rest = digits.few(0)
    shared = nn.Recurrent(nn.Block(nn.Dense(32, rng=0)), steps=2, injection="first", readout="last")
    network = nn.StagedNetwork(nn.LinearStem(64, 32, rng=0), [nn.Stage(recurrent=shared)], nn.PooledHead(32, 10, rng=0))
    before = digits.error(network, rest)
    assert digits.trained(network, rng=0, data=data, epochs=10) is network
    assert not network.training
    assert digits.error(network, rest) < before / 3
