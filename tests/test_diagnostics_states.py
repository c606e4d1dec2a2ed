"""Estimation error, refinement, residual norms and early readout against closed forms; what all diagnostics refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from chain_examples import Residual, Whole
from torch import Tensor, nn

from cortexres import diagnostics
from cortexres.errors import ArgumentError
from cortexres.nn import Block, Chain, Dense, Norm, NoShortcut, Recurrent, Step, ZeroPadding
from cortexres.nn.recurrent import Injection
from cortexres.nn.transforms import Convolutional
from cortexres.stimuli import digits

STEPS = 5
INPUTS = torch.as_tensor(np.random.default_rng(0).normal(size=(20, 3)))
LABELS = torch.arange(20) % 3


def repeated(function: Callable[[Tensor], Tensor], *, injection: Injection = "first") -> Whole:
    """Return STEPS times ``h + function(h)`` of three units, which are the logits."""
    return Whole(Recurrent(Block(Residual(function, 3)), steps=STEPS, injection=injection, readout="last")).eval()


def staged(device: str = "cpu") -> Chain:
    """Return maps of 2 channels that become 4 of a quarter of the size, with a linear readout of the ten digits."""
    norm = Norm("batch")
    shapes = [(2, 2, 1), (2, 2, 1), (2, 4, 2), (4, 4, 1), (4, 4, 1)]
    blocks = [
        Block(Convolutional(a, b, stride=s, norm=norm, rng=k), ZeroPadding(a, b, stride=s), activation=torch.relu)
        for k, (a, b, s) in enumerate(shapes)
    ]
    steps = tuple(Step(block.to(device).eval(), 0, int(k > 1) + int(k > 2), f"b{k}") for k, block in enumerate(blocks))
    head = torch.linspace(-1, 1, 40, device=device).view(10, 4)
    return Chain(lambda x: (x.expand(-1, 2, -1, -1), None), steps, lambda h: h.mean(dim=(2, 3)) @ head.T)


# Estimation error


def test_a_constant_update_is_pure_bias() -> None:
    found = diagnostics.estimation_error(repeated(lambda state: torch.full_like(state, 0.5)), INPUTS)
    left = 0.5 * (STEPS - np.arange(STEPS + 1))
    np.testing.assert_allclose(found["bias"], left, atol=1e-12)
    np.testing.assert_allclose(found["spread"], 0, atol=1e-12)
    np.testing.assert_allclose(found["relative_bias"], left * float((1 / INPUTS.std(dim=0)).mean()), atol=1e-12)


def test_a_decay_to_a_target_halves_bias_and_spread() -> None:
    """States ``a + (h - a) / 2 ** k`` have the error ``(h - a) (2 ** -k - 2 ** -n)``."""
    found = diagnostics.estimation_error(repeated(lambda state: (2.0 - state) / 2), INPUTS)
    factor = 0.5 ** np.arange(STEPS + 1) - 0.5**STEPS
    np.testing.assert_allclose(found["spread"], factor * float(INPUTS.std(dim=0).mean()), atol=1e-12)
    np.testing.assert_allclose(found["bias"], factor * float((INPUTS.mean(dim=0) - 2).abs().mean()), atol=1e-12)
    assert found["block"].values.tolist() == [0, 1, 2, 3, 4, 5]


def test_each_stage_estimates_its_own_last_state() -> None:
    maps = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    found = diagnostics.estimation_error(staged(), maps)
    assert np.flatnonzero(found["spread"] == 0).tolist() == [2, 5]
    states = staged().states(maps)
    error = (states[3] - states[5]).flatten(1).detach()
    assert float(found["bias"][3]) == pytest.approx(float(error.mean(dim=0).abs().mean()), rel=1e-5)


def test_units_that_never_change_have_no_relative_bias() -> None:
    inputs = INPUTS.clone()
    inputs[:, 0] = 1.0
    found = diagnostics.estimation_error(repeated(lambda state: torch.full_like(state, 0.5)), inputs)
    expected = 0.5 * STEPS * float((1 / inputs[:, 1:].std(dim=0)).mean())
    assert float(found["relative_bias"][0]) == pytest.approx(expected)


def test_estimation_needs_stimuli_and_states_to_compare() -> None:
    with pytest.raises(ArgumentError, match="got one stimulus"):
        diagnostics.estimation_error(repeated(torch.tanh), INPUTS[:1])
    narrowing = replace(staged(), steps=(staged().steps[2],))
    with pytest.raises(ArgumentError, match="states each of another shape"):
        diagnostics.estimation_error(narrowing, torch.ones(2, 1, 4, 4))


# Refinement


def towards_first(state: Tensor) -> Tensor:
    """Return minus the gradient of the cross-entropy of class 0, whose logits are the state, times a small step."""
    return 1e-3 * (torch.eye(3, dtype=state.dtype)[0] - torch.softmax(state, dim=1))


@pytest.mark.parametrize(("sign", "share"), [(1, 1.0), (-1, 0.0)])
def test_steps_down_the_loss_have_the_cosine_minus_one(sign: int, share: float) -> None:
    found = diagnostics.refinement_cosine(
        repeated(lambda state: sign * towards_first(state)), INPUTS, torch.zeros(20, dtype=torch.long)
    )
    np.testing.assert_allclose(found["cosine"], -sign, atol=1e-5)
    np.testing.assert_allclose(found["share_negative"], share)
    np.testing.assert_allclose(found["cosine_std"], 0, atol=1e-5)
    assert (found["n_defined"] == 20).all()


def test_the_gradient_is_that_of_the_state_the_update_is_added_to() -> None:
    blocks = [Block(Dense(3, rng=k, dtype=torch.float64)) for k in range(3)]
    chain = Whole(Recurrent(blocks, injection="first", readout="last")).eval().chain()
    state = blocks[0](INPUTS).detach().requires_grad_()
    loss = nn.functional.cross_entropy(blocks[2](blocks[1](state)), LABELS, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, state)
    expected = nn.functional.cosine_similarity(blocks[1].parts(state)[1], gradient).detach()
    found = diagnostics.refinement_cosine(chain, INPUTS, LABELS)
    assert float(found["cosine"][1]) == pytest.approx(float(expected.mean()))
    assert float(found["cosine_std"][1]) == pytest.approx(float(expected.std(correction=0)))
    assert float(found["share_negative"][1]) == pytest.approx(float((expected < 0).double().mean()))


def test_a_change_of_shape_has_no_cosine() -> None:
    found = diagnostics.refinement_cosine(staged(), digits(10, rng=0))
    assert np.flatnonzero(found["cosine"].isnull()).tolist() == [2]
    assert found["n_defined"].values[2] == 0


def test_without_updates_there_is_no_cosine() -> None:
    with pytest.raises(ArgumentError, match="got no stimulus whose gradient and update are not zero"):
        diagnostics.refinement_cosine(repeated(lambda state: 0 * state), INPUTS, LABELS)


# Residual norms


def test_a_turned_update_has_its_size_and_its_angle() -> None:
    turn = torch.tensor([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    inputs = INPUTS * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    found = diagnostics.residual_norms(repeated(lambda state: 0.3 * state @ turn), inputs)
    np.testing.assert_allclose(found["ratio"], 0.3)
    np.testing.assert_allclose(found["cosine"], 0.6)
    assert float(found["carried"][0]) == pytest.approx(float(inputs.norm(dim=1).mean()))
    np.testing.assert_allclose(found["added"], 0.3 * found["carried"])


def test_norms_neither_overflow_nor_underflow() -> None:
    found = diagnostics.residual_norms(repeated(lambda state: 0.5 * state), 1e-30 * INPUTS.float())
    np.testing.assert_allclose(found["ratio"], 0.5, rtol=1e-6)


def test_nothing_is_carried_of_a_state_at_rest() -> None:
    block = Block(Dense(3, rng=0, dtype=torch.float64))
    network = Whole(Recurrent(block, steps=3, injection="every", readout="last")).eval()
    found = diagnostics.residual_norms(network, INPUTS)
    assert found["ratio"].isnull().values.tolist() == [True, False, False]
    assert float(found["carried"][0]) == 0


def test_a_plain_network_carries_nothing() -> None:
    plain = Whole(Recurrent([Block(Dense(3, dtype=torch.float64), NoShortcut())], injection="first")).eval()
    with pytest.raises(ArgumentError, match="whose blocks carry nothing"):
        diagnostics.residual_norms(plain, INPUTS)


# Early readout


def test_an_early_readout_is_that_of_a_shorter_run() -> None:
    network = Whole(
        Recurrent(Block(Dense(3, rng=1, dtype=torch.float64)), steps=STEPS, injection="first", readout="last")
    ).eval()
    found = diagnostics.early_readout(network, INPUTS, LABELS, batch_size=6)
    for steps in range(STEPS + 1):
        logits = network.recurrent(INPUTS, steps=steps)[1].detach()
        assert float(found["loss"][steps]) == pytest.approx(float(nn.functional.cross_entropy(logits, LABELS)))
        assert float(found["error"][steps]) == pytest.approx(float((logits.argmax(dim=1) != LABELS).double().mean()))


def test_states_of_another_shape_cannot_be_read() -> None:
    found = diagnostics.early_readout(staged(), digits(20, rng=0))
    assert found["loss"].isnull().values.tolist() == [True, True, True, False, False, False]
    with pytest.raises(ArgumentError, match="only whose last state can be read"):
        diagnostics.early_readout(replace(staged(), steps=staged().steps[:3]), digits(20, rng=0))


# What all of them need


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"call network\.eval\(\) before"):
        diagnostics.residual_norms(repeated(torch.tanh).train(), INPUTS)


def test_steps_are_needed() -> None:
    with pytest.raises(ArgumentError, match="without residual steps"):
        diagnostics.residual_norms(replace(staged(), steps=()), INPUTS)


def test_labels_are_needed_one_for_each_stimulus() -> None:
    network = repeated(torch.tanh)
    with pytest.raises(ArgumentError, match="got inputs without labels"):
        diagnostics.early_readout(network, INPUTS)
    with pytest.raises(ArgumentError, match=r"got labels of shape \(3,\)"):
        diagnostics.early_readout(network, INPUTS, LABELS[:3])


ALL = (
    diagnostics.lesion,
    diagnostics.lesion_random,
    diagnostics.reorder,
    diagnostics.path_spectrum,
    diagnostics.refinement_cosine,
    diagnostics.early_readout,
    diagnostics.residual_norms,
    diagnostics.estimation_error,
)
OPTIONS: dict[object, dict] = {
    diagnostics.lesion_random: {"counts": (1, 3), "draws": 2, "rng": 0},
    diagnostics.reorder: {"tau": ((0.0, 1.0),), "draws": 2, "rng": 0},
    diagnostics.path_spectrum: {"draws": 3, "rng": 0},
}


@pytest.mark.parametrize("diagnostic", ALL)
def test_maps_in_stages_and_files(diagnostic: Callable[..., xr.Dataset], tmp_path: Path) -> None:
    """Every diagnostic works on stages of maps and on stimuli, and its result is a file like any other."""
    found = diagnostic(staged(), digits(20, rng=0), **OPTIONS.get(diagnostic, {}))
    assert found.attrs["model"] == "Chain"
    assert all("units" in values.attrs and "long_name" in values.attrs for values in found.data_vars.values())
    found.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "found.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again.load().astype(found.dtypes), found)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("diagnostic", ALL)
def test_a_gpu_gives_what_the_cpu_gives(diagnostic: Callable[..., xr.Dataset]) -> None:
    stimuli, options = digits(20, rng=0), OPTIONS.get(diagnostic, {})
    images = torch.as_tensor(stimuli["image"].to_numpy()[:, None], dtype=torch.float32)
    labels = torch.as_tensor(stimuli["label"].to_numpy())
    labelled = () if diagnostic in ALL[-2:] else (labels,)
    here = diagnostic(staged(), images, *labelled, **options)
    there = diagnostic(staged("cuda"), images.cuda(), *labelled, **options)
    for name, values in here.data_vars.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(there[name], values, rtol=1e-2, atol=1e-4)
