"""Path-length spectra against elementary symmetric sums, binomials, and every path of a small network by itself."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from chain_examples import Residual, Whole
from scipy import stats
from torch import Tensor, nn

from cortexres.diagnostics import effective_depth, path_counts, path_spectrum
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Chain, Dense, LearnedScale, NoShortcut, Recurrent
from cortexres.nn.recurrent import Injection

UNITS = 3
INPUTS = torch.as_tensor(np.random.default_rng(0).normal(size=(8, UNITS)))
LABELS = torch.arange(8) % 3


def chain_of_blocks(blocks: list[Block], *, injection: Injection = "first") -> Chain:
    return Whole(Recurrent(blocks, injection=injection, readout="last")).eval().chain()


def scaling(weights: list[float]) -> Chain:
    """Return linear blocks ``h + w h``: along a path the gradient is scaled by the product of its weights."""
    return chain_of_blocks([Block(Residual(lambda state, w=w: w * state, UNITS)) for w in weights])


def symmetric_sums(weights: list[float]) -> np.ndarray:
    """Return e_0 .. e_n, the coefficients of the product of (1 + w x)."""
    return np.poly(-np.abs(weights))


def gradient_at_end(chain: Chain) -> float:
    last = chain.states(INPUTS)[-1].detach().requires_grad_()
    loss = nn.functional.cross_entropy(chain.read(last), LABELS, reduction="sum")
    return float(torch.autograd.grad(loss, last)[0].norm(dim=1).mean())


def total(spectrum: object) -> np.ndarray:
    return 10 ** (spectrum["log10_gradient"] + spectrum["log10_paths"]).values  # type: ignore[index]


# Counts


@pytest.mark.parametrize("multiplicity", [1, 2, 3])
def test_paths_are_counted_exactly(multiplicity: int) -> None:
    counts = path_counts(54, multiplicity=multiplicity)
    assert sum(counts) == (multiplicity + 1) ** 54
    assert counts[1] == 54 * multiplicity


def test_published_shares_of_paths() -> None:
    """Of the paths of 54 blocks, 0.45 % pass 5 to 17 and more than 95 % pass 19 to 35 (Veit et al. 2016)."""
    counts = path_counts(54)
    assert 100 * sum(counts[5:18]) / 2**54 == pytest.approx(0.45367, abs=5e-6)
    assert 100 * sum(counts[19:36]) / 2**54 == pytest.approx(98.02, abs=5e-3)


@pytest.mark.parametrize("options", [{"n_blocks": 0}, {"n_blocks": 3, "multiplicity": 0}])
def test_counts_need_blocks(options: dict) -> None:
    with pytest.raises(ArgumentError, match="expected 1 or more of each"):
        path_counts(**options)


# Spectra


def test_linear_spectrum_is_the_elementary_symmetric_sums() -> None:
    weights = [0.5, -0.2, 1.5, 0.1, -0.7]
    chain = scaling(weights)
    found = path_spectrum(chain, INPUTS, LABELS, draws=10, rng=0)  # 10 paths of a length at most: all of them
    np.testing.assert_allclose(total(found), symmetric_sums(weights) * gradient_at_end(chain), rtol=1e-12)
    sums = symmetric_sums(weights)
    assert float(found["mean_length"]) == pytest.approx(float(sums @ np.arange(6) / sums.sum()))
    np.testing.assert_allclose(found["share"], sums / sums.sum())


def test_drawn_paths_estimate_the_symmetric_sums() -> None:
    weights = list(np.random.default_rng(3).uniform(0.5, 1.0, 12))
    found = path_spectrum(scaling(weights), INPUTS, LABELS, draws=60, rng=0)
    error = np.log10(total(found) / (symmetric_sums(weights) * gradient_at_end(scaling(weights))))
    assert (np.abs(error) < 4 * found["stderr_log10_gradient"] + 1e-12).all()


def test_paths_of_one_stimulus_are_no_independent_samples() -> None:
    """Each stimulus alike, the error is that over stimuli however many paths there are; a single one has none."""
    chain = scaling([0.5] * 4)
    last = chain.states(INPUTS)[-1].detach().requires_grad_()
    loss = nn.functional.cross_entropy(chain.read(last), LABELS, reduction="sum")
    norms = torch.autograd.grad(loss, last)[0].norm(dim=1)
    expected = float(norms.std() / norms.mean() / math.sqrt(len(INPUTS)) / math.log(10))
    for draws in (1, 6, 100):
        found = path_spectrum(chain, INPUTS, LABELS, draws=draws, rng=0)["stderr_log10_gradient"]
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.isnan(path_spectrum(chain, INPUTS[:1], LABELS[:1], rng=0)["stderr_log10_gradient"]).all()


def test_equal_weights_give_a_binomial() -> None:
    """With all weights w the share of length k is that of Bin(n, w / (1 + w)), from one path of each length."""
    n, w = 30, 0.3
    found = path_spectrum(scaling([w] * n), INPUTS, LABELS, draws=1, rng=0)
    binomial = stats.binom(n, w / (1 + w))
    np.testing.assert_allclose(found["share"], binomial.pmf(np.arange(n + 1)), rtol=1e-9)
    assert float(found["slope"]) == pytest.approx(math.log10(w))
    assert float(found["mean_length"]) == pytest.approx(n * w / (1 + w))
    assert float(found["dominant_length"]) == pytest.approx(n * w / (1 + w))
    assert (int(found["lower"]), int(found["upper"])) == tuple(binomial.ppf([0.025, 0.975]))


def test_nothing_underflows() -> None:
    """54 factors of 1e-20 are far below the smallest number of float32, and of float64."""
    chain = scaling([1e-20] * 54)
    found = path_spectrum(chain, INPUTS.float(), LABELS, draws=1, rng=0)
    np.testing.assert_allclose(np.diff(found["log10_gradient"]), -20, rtol=1e-6)
    assert float(found["slope"]) == pytest.approx(-20)


@pytest.mark.parametrize("activation", [None, torch.relu])
def test_every_path_of_a_nonlinear_network(activation: object) -> None:
    """The gradient of a path is that of the network whose other terms are detached."""
    blocks = [Block(Dense(UNITS, rng=k, dtype=torch.float64), activation=activation) for k in range(4)]  # type: ignore[arg-type]
    norms = [
        np.mean([_detached_norm(blocks, set(through)) for through in combinations(range(4), k)]) for k in range(5)
    ]
    found = path_spectrum(chain_of_blocks(blocks), INPUTS, LABELS, draws=6, rng=0)
    np.testing.assert_allclose(10 ** found["log10_gradient"].values, norms, rtol=1e-12)


def _detached_norm(blocks: list[Block], through: set[int]) -> float:
    first = INPUTS.clone().requires_grad_()
    state = first
    for k, block in enumerate(blocks):
        carried, added = block.parts(state)
        state = block.finish(carried.detach() + added if k in through else carried + added.detach())
    nn.functional.cross_entropy(state, LABELS, reduction="sum").backward()  # type: ignore[no-untyped-call]
    assert first.grad is not None
    return float(first.grad.norm(dim=1).mean())


def test_a_constant_drive_is_held() -> None:
    blocks = [Block(Dense(UNITS, rng=k, dtype=torch.float64)) for k in range(3)]
    driven = chain_of_blocks(blocks, injection="every")
    found = path_spectrum(driven, INPUTS, LABELS, draws=3, rng=0)
    assert 10 ** float(found["log10_gradient"][0]) == pytest.approx(gradient_at_end(driven))


def test_paths_come_from_the_seed() -> None:
    chain = scaling(list(np.linspace(0.1, 2, 9)))
    one, again, other = (path_spectrum(chain, INPUTS, LABELS, draws=1, rng=rng) for rng in (0, 0, 1))
    np.testing.assert_array_equal(one["log10_gradient"], again["log10_gradient"])
    assert (one["log10_gradient"] != other["log10_gradient"]).any()


# Refusals


def test_a_plain_network_has_one_path() -> None:
    chain = chain_of_blocks([Block(Dense(UNITS, rng=0, dtype=torch.float64), NoShortcut())])
    with pytest.raises(ArgumentError, match="without them all gradients take one path"):
        path_spectrum(chain, INPUTS, LABELS)


def test_a_loss_without_gradient_has_no_spectrum() -> None:
    certain = 1e4 * nn.functional.one_hot(LABELS, UNITS).double()
    with pytest.raises(ArgumentError, match="without gradient at the last state"):
        path_spectrum(scaling([0.5]), certain, LABELS)


def test_draws_are_needed() -> None:
    with pytest.raises(ArgumentError, match="got draws=0"):
        path_spectrum(scaling([0.5]), INPUTS, LABELS, draws=0)


def test_residual_functions_without_slope_end_their_paths() -> None:
    """A gradient of zero stays zero, and the line is fitted through the other lengths."""

    def constant(state: Tensor) -> Tensor:
        return 0 * state + 1

    blocks = [Block(Residual(constant, UNITS)), Block(Residual(lambda state: 0.1 * state, UNITS))]
    found = path_spectrum(chain_of_blocks(blocks), INPUTS, LABELS, draws=2)
    assert np.isneginf(found["log10_gradient"][2])
    assert float(found["slope"]) == pytest.approx(math.log10(0.05))


def test_blocks_that_are_the_identity_have_no_depth() -> None:
    """A learned scale starts at zero: the only gradient is that past all residual functions."""
    blocks = [Block(Dense(UNITS, rng=k), LearnedScale(UNITS)) for k in range(3)]
    found = path_spectrum(chain_of_blocks(blocks), INPUTS.float(), LABELS, draws=1, rng=0)
    assert float(found["mean_length"]) == int(found["upper"]) == 0
    assert np.isnan(found["slope"])
    assert np.isnan(found["dominant_length"])


def test_gradients_are_found_where_they_are_switched_off() -> None:
    chain = scaling([0.5, 0.1])
    with torch.no_grad():
        off = path_spectrum(chain, INPUTS, LABELS, rng=0)
    np.testing.assert_array_equal(off["share"], path_spectrum(chain, INPUTS, LABELS, rng=0)["share"])


def test_effective_depth_is_the_mean_of_a_binomial() -> None:
    """Blocks h + w h with one w: a path of length k has the gradient w ** k, so k is binomial with w / (1 + w)."""
    n_blocks, w = 6, 0.5
    found = effective_depth(scaling([w] * n_blocks), INPUTS, LABELS, draws=64)
    assert not found.sizes
    assert int(found["n_blocks"]) == n_blocks
    assert float(found["mean_length"]) == pytest.approx(n_blocks * w / (1 + w), rel=1e-9)
    assert (int(found["lower"]), int(found["upper"])) == (0, 4)
