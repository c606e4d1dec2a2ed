"""The claims about residual networks that small ones bear out on digits, with the limits of the reference figures.

One seed of the networks of 18 blocks is trained at every change; five seeds, the plain and the deep ones are marked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from digits_networks import train_and_test_digits, trained
from torch.nn import functional

from cortexres import diagnostics, nn
from cortexres.errors import ArgumentError
from cortexres.nn.norms import StepNorm

UNTIED_AND_TIED = ("digits_untied", "digits_tied")
DEEP = ("digits_untied54", "digits_tied54")
MORE_SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]


def on_unseen(diagnostic: Callable[..., xr.Dataset], network: nn.StagedNetwork, **options: object) -> xr.Dataset:
    """Return a diagnostic of a network on the digits that it was not trained on."""
    return diagnostic(network, train_and_test_digits()[1], **options)


def error(network: nn.StagedNetwork) -> float:
    """Return the error on unseen digits in percent, in the mode that the network is in."""
    unseen = train_and_test_digits()[1]
    with torch.no_grad():
        guess = network(nn.inputs_of(network, unseen)).argmax(dim=1).numpy()
    return float(100 * (guess != unseen["label"]).mean())


def allowing_shared_statistics(network: nn.StagedNetwork) -> nn.StagedNetwork:
    allowing = copy.deepcopy(network)
    for module in allowing.modules():
        if isinstance(module, StepNorm):
            module.recipe = replace(module.recipe, shared_in_eval="allow")
    return allowing


def n_parameters(name: str) -> int:
    return sum(values.numel() for values in nn.create(name, device="meta").parameters())


# Liao & Poggio: a network whose steps share their weights


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("digits_untied", 157_002),
        ("digits_tied", 17_738),
        ("digits_tied_shared", 13_386),
        ("digits_plain", 157_002),
        ("digits_untied54", 461_130),
        ("digits_tied54", 26_954),
    ],
)
def test_sizes_of_the_reference(name: str, count: int) -> None:
    assert n_parameters(name) == count


def test_tied_is_untied_and_its_gradient_the_sum() -> None:
    tied = nn.create("digits_tied", rng=0, dtype=torch.float64)
    untied = tied.to_untied()
    inputs, labels = torch.rand(50, 64, dtype=torch.float64), torch.arange(50) % 10
    outputs = []
    for network in (tied, untied):
        outputs.append(network(inputs))
        functional.cross_entropy(outputs[-1], labels).backward()  # type: ignore[no-untyped-call]
    assert float((outputs[0] - outputs[1]).detach().abs().max()) == 0
    shared = tied.stages[0].recurrent.block.transform.layers
    blocks = untied.stages[0].recurrent.blocks
    for k in range(2):
        summed = torch.stack([block.transform.layers[k].weight.grad for block in blocks]).sum(dim=0)
        assert float((shared[k].weight.grad - summed).norm() / summed.norm()) < 1e-12


def test_shared_statistics_are_caught_in_evaluation() -> None:
    network = nn.create("digits_tied_shared", rng=0).eval()
    with pytest.raises(ArgumentError, match="batch statistics that several steps share"):
        on_unseen(diagnostics.lesion, network)


@pytest.mark.parametrize("seed", MORE_SEEDS)
def test_tied_is_as_good_as_untied(seed: int) -> None:
    untied, tied = (error(trained(name, seed)) for name in UNTIED_AND_TIED)
    assert untied < 4
    assert tied < untied + 1.5
    assert n_parameters("digits_untied") > 8 * n_parameters("digits_tied")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_shared_statistics_fail_in_evaluation_only(seed: int) -> None:
    network = allowing_shared_statistics(trained("digits_tied_shared", seed))
    assert error(network) > 50
    assert error(copy.deepcopy(network).train()) < 5


@pytest.mark.slow
def test_mean_errors_of_five_seeds() -> None:
    untied, tied, plain = (
        np.mean([error(trained(name, seed)) for seed in range(5)]) for name in (*UNTIED_AND_TIED, "digits_plain")
    )
    assert 1.0 < untied < 2.0
    assert 1.0 < tied < 2.0
    assert plain > 20


# Veit, Wilber & Belongie: an ensemble of short paths


@pytest.mark.parametrize("seed", MORE_SEEDS)
@pytest.mark.parametrize("name", UNTIED_AND_TIED)
def test_a_deleted_block_is_hardly_missed(name: str, seed: int) -> None:
    found = on_unseen(diagnostics.lesion, trained(name, seed))
    assert float(found["error"].median() - found["intact_error"]) <= 0.01
    assert int(found["error"].argmax("block")) == 0  # the first block is the exception
    assert float(found["error"].max()) > 0.15


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_deleted_block_ruins_a_plain_network(seed: int) -> None:
    plain = on_unseen(diagnostics.lesion, trained("digits_plain", seed), leaves="state")["error"].median()
    for name in UNTIED_AND_TIED:
        residual = on_unseen(diagnostics.lesion, trained(name, seed))["error"].median()
        assert float(plain - residual) >= 0.8


def test_error_rises_with_what_is_deleted_and_shuffled() -> None:
    network = trained("digits_untied", 0)
    deleted = on_unseen(diagnostics.lesion_random, network, counts=(1, 5, 10), rng=0)["error"].mean("draw")
    assert (deleted.diff("count") > 0).all()
    shuffled = on_unseen(diagnostics.reorder, network, rng=0)["error"].median("draw")
    assert float(shuffled[0]) < 0.05 < float(shuffled[1])


@pytest.mark.parametrize("seed", MORE_SEEDS)
def test_gradients_take_short_paths_shorter_in_tied_networks(seed: int) -> None:
    untied, tied = (on_unseen(diagnostics.path_spectrum, trained(n, seed), draws=1, rng=0) for n in UNTIED_AND_TIED)
    for spectrum in (untied, tied):
        assert float(spectrum["slope"]) < -0.2
        assert int(spectrum["upper"]) <= 10
        # blocks that are all alike would have this mean
        assert float(spectrum["dominant_length"]) == pytest.approx(float(spectrum["mean_length"]), abs=1.5)
    assert float(tied["mean_length"]) < float(untied["mean_length"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_deep_networks_lose_nothing_by_a_deleted_block(seed: int) -> None:
    for name in DEEP:
        found = on_unseen(diagnostics.lesion, trained(name, seed))
        assert float(found["intact_error"]) < 0.04
        assert float(found["error"].median() - found["intact_error"]) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_deep_networks_are_shallow_in_effect(seed: int) -> None:
    some = train_and_test_digits()[1].isel(stimulus=slice(0, 200))
    untied, tied = (diagnostics.path_spectrum(trained(name, seed), some, draws=1, rng=0) for name in DEEP)
    for spectrum in (untied, tied):
        assert int(spectrum["upper"]) <= 0.4 * 54
        assert float(spectrum["slope"]) < -0.2
    assert float(tied["mean_length"]) < float(untied["mean_length"])


# Greff, Srivastava & Schmidhuber; Jastrzebski et al.: one estimate, refined


@pytest.mark.parametrize("seed", MORE_SEEDS)
@pytest.mark.parametrize("name", UNTIED_AND_TIED)
def test_blocks_refine_one_estimate(name: str, seed: int) -> None:
    _check_refinement(trained(name, seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", DEEP)
def test_blocks_of_deep_networks_refine_one_estimate(name: str, seed: int) -> None:
    _check_refinement(trained(name, seed))


def _check_refinement(network: nn.StagedNetwork) -> None:
    bias = on_unseen(diagnostics.estimation_error, network)["relative_bias"]
    blocks = bias.sizes["block"]
    first, middle, last = (float(bias[k]) for k in (1, blocks // 2, blocks - 2))
    assert last < middle < first
    assert last / first < 0.35
    cosine = on_unseen(diagnostics.refinement_cosine, network)["cosine"]
    assert float((cosine < 0).mean()) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_bias_tells_the_network_with_shared_statistics(seed: int) -> None:
    shared = allowing_shared_statistics(trained("digits_tied_shared", seed))
    bad, good = (on_unseen(diagnostics.estimation_error, n) for n in (shared, trained("digits_tied", seed)))
    assert float(bad["relative_bias"][1]) > 3 * float(good["relative_bias"][1])


def test_early_states_can_be_read() -> None:
    """The network's own readout is at chance before the first block, and as good as at the end half way."""
    found = on_unseen(diagnostics.early_readout, trained("digits_untied", 0))["error"]
    assert float(found[0]) > 0.5
    assert float(found[9]) < 0.1
