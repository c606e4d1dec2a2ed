"""Block and recurrence against closed forms, torch's own RNN, a plain loop and the untied twin."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrize

from cortexres import nn
from cortexres.errors import ArgumentError
from cortexres.nn import initial
from cortexres.nn.areas.summed_convolution import SummedConvolution

UNITS, STEPS, BATCH = 5, 7, 3


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drive() -> Tensor:
    return draw(BATCH, UNITS)


def identity(values: Tensor) -> Tensor:
    return values


def dense_block(rng: int = 1, **options: Any) -> nn.Block:
    return nn.Block(nn.Dense(UNITS, rng=rng, dtype=torch.float64, **options), nn.SoftAssignment(0.3))


def recurrent(**options: Any) -> nn.Recurrent:
    return nn.Recurrent(dense_block(), steps=STEPS, **options)


def weight(network: nn.Recurrent) -> Tensor:
    return network.get_parameter("block.transform.layers.0.weight").detach()


def linear_network(injection: Any) -> nn.Recurrent:
    block = nn.Block(nn.Dense(UNITS, activation=identity, bias=False, rng=0, dtype=torch.float64))
    return nn.Recurrent(block, steps=STEPS, injection=injection)


def test_an_input_at_first_is_raised_to_a_matrix_power() -> None:
    """Liao and Poggio: h_t = (I + K) h_(t-1) with h_0 = x is the residual network whose blocks share K."""
    network = linear_network("first")
    step = torch.eye(UNITS) + weight(network)
    expected = drive() @ torch.linalg.matrix_power(step, STEPS).T
    torch.testing.assert_close(network(drive())[1], expected, rtol=1e-13, atol=1e-13)
    with_start = network(drive(), 2 * drive())[1]
    torch.testing.assert_close(with_start, 3 * expected, rtol=1e-13, atol=1e-13)


def test_an_input_at_every_step_is_a_geometric_series() -> None:
    network = linear_network("every")
    step = torch.eye(UNITS) + weight(network)
    series = sum(torch.linalg.matrix_power(step, k) for k in range(STEPS))
    torch.testing.assert_close(network(drive())[1], drive() @ series.T, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_without_shortcut_it_is_torch_rnn(nonlinearity: str) -> None:
    dense = nn.Dense(UNITS, input_size=4, activation=getattr(torch, nonlinearity), rng=2, dtype=torch.float64)
    oracle = torch.nn.RNN(4, UNITS, nonlinearity=nonlinearity, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        oracle.weight_hh_l0.copy_(dense.layers[0].get_parameter("weight"))
        oracle.weight_ih_l0.copy_(dense.get_parameter("input.weight"))
        dense.layers[0].get_parameter("bias").copy_(oracle.bias_ih_l0 + oracle.bias_hh_l0)
    network = nn.Recurrent(nn.Block(dense, nn.NoShortcut()), steps=STEPS)
    frames, h_0 = draw(BATCH, 9, 4), draw(BATCH, UNITS, seed=1)
    states, h_n = network(frames, h_0)
    expected, last = oracle(frames, h_0[None])
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(h_n, last[0], rtol=0, atol=1e-14)
    still = frames[:, :1].expand(-1, STEPS, -1)
    torch.testing.assert_close(network(frames[:, 0])[0], oracle(still)[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("tied", [True, False])
def test_a_movie_enters_frame_by_frame(tied: bool) -> None:
    transform = nn.Convolutional(2, norm=nn.Norm("layer", steps=STEPS), rng=0, dtype=torch.float64)
    network = nn.Recurrent(nn.Block(transform, activation=torch.relu), steps=STEPS)
    network = network if tied else network.to_untied()
    movie = draw(BATCH, 4, 2, 3, 3)
    state = torch.zeros(BATCH, 2, 3, 3, dtype=torch.float64)
    states = []
    for k in range(4):
        own, step = (transform, k) if tied else (network.blocks[k].transform, 0)
        state = torch.relu(state + movie[:, k] + own(state, None, step))  # type: ignore[operator]
        states.append(state)
    assert torch.equal(network(movie)[0], torch.stack(states, dim=1))
    assert torch.equal(network(movie, steps=2)[1], states[1])


def test_a_drive_enters_inside_a_dense_transform_and_beside_a_convolutional_one() -> None:
    h, u = draw(BATCH, UNITS, seed=1), drive()
    dense = nn.Dense(UNITS, rng=0, dtype=torch.float64)
    carried, added = nn.Block(dense).parts(h, u)
    assert torch.equal(carried, h)
    assert torch.equal(added, dense(h, u))
    assert not torch.equal(added, dense(h))
    convolutional = nn.Convolutional(2, rng=0, dtype=torch.float64)
    maps, input_maps = draw(BATCH, 2, 3, 3), draw(BATCH, 2, 3, 3, seed=1)
    carried, added = nn.Block(convolutional).parts(maps, input_maps)
    assert torch.equal(carried, maps + input_maps)
    assert torch.equal(added, convolutional(maps))


def test_a_run_goes_on_from_its_last_state() -> None:
    network, movie = recurrent(), draw(BATCH, 6, UNITS)
    for x in (drive(), movie):
        whole, last = network(x, steps=6)
        first, h_n = network(x if x is not movie else movie[:, :4], steps=4)
        second, end = network(x if x is not movie else movie[:, 4:], h_n, steps=2)
        assert torch.equal(torch.cat([first, second], dim=1), whole)
        assert torch.equal(end, last)


@pytest.mark.parametrize("injection", ["every", "first"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_run_that_is_told_its_past_goes_on_with_blocks_norms_and_input(injection: Any, tied: bool) -> None:
    network = nn.Recurrent(dense_block(norm=nn.Norm("layer", steps=STEPS)), steps=STEPS, injection=injection)
    norm = network.block.get_parameter("transform.norms.0.weight")
    torch.nn.init.normal_(norm, generator=torch.Generator().manual_seed(0))  # steps differ
    network = network if tied else network.to_untied()
    whole, last = network(drive())
    first, h_n = network(drive(), steps=4)
    second, end = network(drive(), h_n, steps=3, first_step=4)
    assert torch.equal(torch.cat([first, second], dim=1), whole)
    assert torch.equal(end, last)
    assert torch.equal(network.trajectory(drive(), h_n, steps=3, first_step=4).response[:, 1:], second)


def test_resetting_draws_the_weights_of_all_blocks_anew() -> None:
    for network in (recurrent(), recurrent().to_untied()):
        before = {key: value.clone() for key, value in network.state_dict().items()}
        network.reset_parameters(3)
        first = {key: value.clone() for key, value in network.state_dict().items()}
        changed = {key for key, value in first.items() if not torch.equal(value, before[key])}
        assert changed == {key for key in before if key.endswith("weight")}
        assert len({tuple(first[key].flatten().tolist()) for key in changed}) == len(changed)
        network.reset_parameters(3)
        assert all(torch.equal(value, first[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("injection", ["every", "first"])
def test_exports_for_batches_of_any_size(injection: Any) -> None:
    network, batch = recurrent(injection=injection), torch.export.Dim("batch")
    exported = torch.export.export(network, (drive(),), dynamic_shapes={"x": {0: batch}}).module()
    larger = draw(BATCH + 2, UNITS, seed=3)
    assert torch.equal(exported(larger)[0], network(larger)[0])


@pytest.mark.parametrize(
    "transform",
    [
        nn.Convolutional(2, rng=0),
        SummedConvolution(2, rng=0),
        nn.Dense(2, rng=0),
        nn.LooksLinear(2, rng=0),
        nn.ExcitatoryInhibitory(1, 1, rng=0),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_a_drive_is_not_stretched(transform: torch.nn.Module) -> None:
    network = nn.Recurrent(nn.Block(transform), steps=2)
    positions = (3, 3) if network.block.state_dims == 3 else ()
    with pytest.raises(ArgumentError, match=r"got a drive of shape \(3, 1.* for a state of shape \(3, 2"):
        network(torch.zeros(3, 1, *positions))


def test_the_readout_is_all_states_or_one() -> None:
    states, last = recurrent()(drive())
    assert torch.equal(states[:, -1], last)
    for readout, row in (("last", STEPS - 1), (1, 0), (3, 2), (STEPS, STEPS - 1)):
        network = recurrent(readout=readout)
        for one in (network, network.to_untied()):
            output, h_n = one(drive())
            assert torch.equal(output, states[:, row])
            assert torch.equal(h_n, last)


def test_tied_runs_longer_than_built_and_keeps_its_past() -> None:
    tied = recurrent()
    assert torch.equal(tied(drive(), steps=20)[0][:, :STEPS], tied(drive())[0])
    output, h_n = tied(drive(), steps=0)
    assert output.shape == (BATCH, 0, UNITS)
    assert not h_n.any()
    assert torch.equal(recurrent(readout="last")(drive(), drive(), steps=0)[0], drive())


def test_the_trajectory_is_the_run_and_its_terms() -> None:
    block = nn.Block(nn.Dense(UNITS, rng=0, dtype=torch.float64), nn.Scaled(0.5), activation=torch.relu)
    for network in (nn.Recurrent(block, steps=STEPS), nn.Recurrent(block, steps=STEPS).to_untied()):
        response, carried, update = network.trajectory(drive())
        assert torch.equal(response[:, 1:], network(drive())[0])
        assert torch.equal(response[:, 1:], torch.relu(carried + update)[:, 1:])
        assert torch.equal(carried[:, 1:], response[:, :-1])
        assert torch.equal(carried[:, 0], response[:, 0])
        assert not update[:, 0].any()


@pytest.mark.parametrize("injection", ["every", "first"])
def test_its_steps_make_a_chain(injection: Any) -> None:
    for network, tied in ((recurrent(injection=injection), True), (recurrent(injection=injection).to_untied(), False)):
        steps = network.chain_steps(stage=2, name="middle")
        chain = nn.Chain(enter=network.entered, steps=steps, read=identity)
        states, last = network(drive())
        assert torch.equal(chain.run(drive()), last)
        assert torch.equal(torch.stack(chain.states(drive())[1:], dim=1), states)
        carried, added = steps[0].parts(*chain.enter(drive()))
        assert torch.equal(steps[0].finish(carried + added), states[:, 0])
        assert chain.tied is tied
        assert nn.chain_of(chain) is chain
        assert (steps[3].stage, steps[3].name) == (2, "middle.3")


def test_noise_is_that_of_torch_and_none_where_there_is_none() -> None:
    network = nn.Recurrent(nn.Block(nn.Dense(2000, activation=torch.zeros_like, rng=0)), steps=4, noise=0.5)
    for training in (True, False):
        torch.manual_seed(1)
        states, _ = network.train(training)(torch.zeros(2, 2000))
        torch.manual_seed(1)
        assert torch.equal(network.trajectory(torch.zeros(2, 2000)).response[:, 1:], states)
        assert not torch.equal(network(torch.zeros(2, 2000))[0], states)
    assert not torch.equal(states[0], states[1])
    walked = states.square().mean(dim=(0, 2))  # a random walk: variance t noise^2
    torch.testing.assert_close(walked, 0.25 * torch.arange(1, 5), rtol=0.1, atol=0)
    before = torch.get_rng_state()
    recurrent()(drive())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_chain_is_a_network_without_its_noise() -> None:
    quiet, noisy = recurrent(), recurrent(noise=0.5)
    for step, other in zip(*(network.chain_steps(stage=0, name="x") for network in (quiet, noisy)), strict=True):
        state = draw(BATCH, UNITS, seed=2)
        assert torch.equal(step(state, drive()), other(state, drive()))


@pytest.mark.parametrize("share", [nn.Scaled, nn.SoftAssignment])
def test_a_drive_beside_f_enters_by_the_share_of_f(share: Callable[[float], torch.nn.Module]) -> None:
    """With gamma = dt / tau, F = 0 and a constant drive, a leaky state ends at the drive, whatever gamma is."""
    maps = draw(BATCH, 2, 3, 3)
    still = nn.Convolutional(2, rng=0, dtype=torch.float64)
    torch.nn.init.zeros_(still.layers[1].convolution.weight)
    for gamma in (0.2, 0.1):
        last = nn.Recurrent(nn.Block(still, share(gamma)), steps=400, readout="last")(maps)[0]
        torch.testing.assert_close(last, maps if share is nn.SoftAssignment else 400 * gamma * maps)


def test_the_shared_block_is_stored_once() -> None:
    keys = {f"transform.layers.0.{name}" for name in ("weight", "bias")}
    for steps in (1, STEPS, 1000):
        network = nn.Recurrent(dense_block(), steps=steps)
        assert set(network.state_dict()) == {f"block.{key}" for key in keys}
        assert sum(p.numel() for p in network.parameters()) == UNITS * (UNITS + 1)
    assert set(recurrent().to_untied().state_dict()) == {f"blocks.{k}.{key}" for k in range(STEPS) for key in keys}


def test_untied_blocks_are_copies_of_their_own() -> None:
    tied = recurrent(injection="first", readout=3, noise=0.1).eval()
    untied = tied.to_untied(4)
    assert (untied.steps, untied.injection, untied.readout, untied.noise) == (4, "first", 3, 0.1)
    assert not untied.training
    back = nn.Recurrent.from_untied(untied)
    assert (back.steps, back.injection, back.readout, back.noise) == (4, "first", 3, 0.1)
    with torch.no_grad():
        for parameter in untied.blocks[0].parameters():
            parameter.zero_()
    assert all(block.get_parameter("transform.layers.0.weight").any() for block in untied.blocks[1:])
    assert tied.get_parameter("block.transform.layers.0.weight").any()


def test_blocks_that_differ_are_averaged_or_represented_by_the_first() -> None:
    norm = nn.Norm("batch", affine="shared")
    blocks = [nn.Block(nn.Dense(UNITS, rng=k, norm=norm, dtype=torch.float64)) for k in range(3)]
    for k, block in enumerate(blocks):
        torch.nn.init.constant_(block.get_parameter("transform.norms.0.weight"), k)
        block.get_buffer("transform.norms.0.running_mean").fill_(k)
    untied = nn.Recurrent(blocks)
    weights = torch.stack([block.get_parameter("transform.layers.0.weight") for block in blocks])
    for mode, expected, scale in (("mean", weights.mean(dim=0), 1.0), ("first", weights[0], 0.0)):
        tied = nn.Recurrent.from_untied(untied, mode=mode)  # type: ignore[arg-type]
        assert torch.equal(weight(tied), expected)
        assert tied.get_parameter("block.transform.norms.0.weight").unique().item() == scale
        assert tied.get_buffer("block.transform.norms.0.running_mean")[:, 0].tolist() == [0, 1, 2]
    with pytest.raises(ArgumentError, match=r"weight of block 1 unlike that of block 0, .* mode='mean' or 'first'"):
        nn.Recurrent.from_untied(untied)


def test_the_mean_of_constrained_weights_is_that_of_the_weights() -> None:
    tied = nn.Recurrent(nn.Block(nn.ExcitatoryInhibitory(3, 1, rng=0)), steps=3)
    untied = tied.to_untied()
    with torch.no_grad():  # the same weight: its raw values may be of either sign
        untied.blocks[1].get_parameter("transform.recurrent.parametrizations.weight.original").neg_()
    found = nn.Recurrent.from_untied(untied, mode="mean").block.transform.recurrent.weight
    torch.testing.assert_close(found, tied.block.transform.recurrent.weight, rtol=1e-6, atol=0)


def test_a_constraint_that_cannot_be_met_by_assigning_has_no_mean() -> None:
    network = recurrent()
    parametrize.register_parametrization(network.block.transform.layers[0], "weight", torch.nn.Tanh())
    with pytest.raises(ArgumentError, match=r"mode='mean' for transform.layers.0.weight, .* expected mode='first'"):
        nn.Recurrent.from_untied(network.to_untied(), mode="mean")
    assert nn.Recurrent.from_untied(network.to_untied(), mode="first").tied


def test_layers_of_torch_are_reset_from_the_stream_too() -> None:
    layers = torch.nn.Sequential(torch.nn.ConvTranspose2d(2, 2, 2), torch.nn.GroupNorm(1, 2), torch.nn.Conv1d(2, 2, 3))
    torch.nn.init.zeros_(layers.get_parameter("1.weight"))
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        initial.reset_children(layers, seed)
        drawn.append({key: value.clone() for key, value in layers.state_dict().items()})
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(drawn[0][key], drawn[1][key]) for key in drawn[0])
    assert not any(torch.equal(drawn[0][key], drawn[2][key]) for key in ("0.weight", "2.weight"))
    assert drawn[0]["1.weight"].tolist() == [1, 1]
    torch.manual_seed(5)
    initial.reset_children(layers)
    found, _ = layers.get_parameter("0.weight").clone(), torch.manual_seed(5)
    layers[0].reset_parameters()
    assert torch.equal(layers.get_parameter("0.weight"), found)


def test_a_constrained_weight_is_computed_once_for_all_steps() -> None:
    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, value: Tensor) -> Tensor:
            Counting.calls += 1
            return value.abs()

    network = recurrent()
    parametrize.register_parametrization(network.block.get_submodule("transform.layers.0"), "weight", Counting())
    for run in (network, network.trajectory):
        Counting.calls = 0
        run(drive())
        assert Counting.calls == 1


def test_a_copy_of_a_constrained_layer_keeps_a_weight_of_its_own() -> None:
    """Torch's cache of constrained weights takes a deep copy for the layer that it is a copy of."""
    network = nn.Recurrent(dense_block(layers=2), steps=3)
    layers = network.block.transform.layers
    layers[0] = torch.nn.utils.parametrizations.weight_norm(layers[0])
    layers[1] = copy.deepcopy(layers[0])
    torch.nn.init.normal_(layers[1].parametrizations.weight.original1, generator=torch.Generator().manual_seed(0))
    state = torch.zeros_like(drive())
    for _ in range(3):
        state = network.block(state, drive())
    assert torch.equal(network(drive())[1], state)
    assert torch.equal(network.trajectory(drive()).response[:, -1], state)
    assert torch.equal(network.to_untied()(drive())[1], state)
    chain = nn.Chain(enter=network.entered, steps=network.chain_steps(stage=0, name="h"), read=identity)
    assert torch.equal(chain.run(drive()), state)
    assert torch.equal(chain.states(drive())[-1], state)


def test_weights_have_the_spread_they_are_said_to_have() -> None:
    assert torch.equal(initial.linear(3, 2, rng=1).weight, initial.linear(3, 2, rng=1, scale=3**-0.5).weight)
    wide = initial.linear(400, 300, rng=0, scale=0.3)
    assert float(wide.weight.detach().std()) == pytest.approx(0.3, rel=0.01)
    assert not wide.bias.any()
    kernel = initial.kaiming_(torch.empty(200, 30, 3, 3), rng=0)
    assert float(kernel.std()) == pytest.approx((2 / 270) ** 0.5, rel=0.01)
    assert initial.generator_from(None) is None
    assert initial.stream(None) is None


def test_print_says_what_it_is() -> None:
    text = str(recurrent(noise=0.1))
    assert "steps=7, tied=True, injection='every', readout='all', noise=0.1" in text
    assert "5, activation=tanh, final_activation=True" in text
    assert "activation=relu" in str(nn.Block(nn.Dense(2), activation=torch.relu))


def differing() -> nn.Recurrent:
    return nn.Recurrent([nn.Block(nn.Dense(2)), nn.Block(nn.Dense(2, bias=False))])


MOVIE = draw(BATCH, 4, UNITS)
FAULTS: list[tuple[Callable[[], object], str]] = [
    (lambda: nn.Recurrent(dense_block(), steps=0), "steps=0, expected 1 or more"),
    (lambda: nn.Recurrent(dense_block()), "steps=None, expected 1 or more"),
    (lambda: nn.Recurrent([]), "got 0 blocks and steps=None, expected one block per step"),
    (lambda: nn.Recurrent([dense_block()], steps=2), "got 1 blocks and steps=2, expected one block per step"),
    (lambda: recurrent(injection="never"), "injection='never', expected 'every' or 'first'"),
    (lambda: recurrent(readout="mean"), "readout='mean', expected 'all', 'last' or a step from 1 to 7"),
    (lambda: recurrent(readout=8), "readout=8, expected 'all', 'last' or a step from 1 to 7"),
    (lambda: recurrent(noise=-1.0), r"noise=-1\.0, expected a standard deviation of 0 or more"),
    (lambda: recurrent(noise=float("nan")), "noise=nan, expected"),
    (lambda: recurrent()(drive()[0]), r"got an input of 1 dims, expected 2, \(batch, ...\), or 3"),
    (lambda: recurrent(injection="first")(MOVIE), "got a movie with injection='first'"),
    (lambda: recurrent()(drive(), steps=-1), "steps=-1, expected 0 or more"),
    (lambda: recurrent()(MOVIE[:, :0]), "got a movie of 0 frames, expected 1 or more"),
    (lambda: recurrent()(MOVIE, steps=5), "steps=5, expected at most 4: the movie has no more frames"),
    (lambda: recurrent()(drive(), first_step=-1), "first_step=-1, expected 0 or more"),
    (
        lambda: recurrent().to_untied()(drive(), steps=4, first_step=4),
        "steps=4 after first_step=4, expected at most 7 in all: an untied network ends there",
    ),
    (lambda: recurrent()(drive(), drive()[None]), r"got h_0 of shape \(1, 3, 5\), expected 2 dims, .* of 3"),
    (lambda: recurrent()(drive(), drive()[:1]), r"got h_0 of shape \(1, 5\), expected 2 dims"),
    (lambda: recurrent(readout=3)(drive(), steps=2), "got steps=2, expected 3 or more: the network is read"),
    (lambda: recurrent().to_untied().to_untied(), "got an untied network, expected a tied one"),
    (lambda: recurrent().to_untied(0), "steps=0, expected 1 or more"),
    (lambda: nn.Recurrent.from_untied(recurrent()), "got a tied network, expected an untied one"),
    (
        lambda: nn.Recurrent.from_untied(recurrent().to_untied(), mode="median"),  # type: ignore[arg-type]
        "mode='median', expected one of check, mean, first",
    ),
    (lambda: nn.Recurrent.from_untied(differing()), "got block 1 of another shape than block 0"),
]


@pytest.mark.parametrize(("call", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_faults_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()


def test_batch_statistics_of_torch_are_refused_where_steps_share_them() -> None:
    dense = nn.Dense(UNITS, rng=0)
    dense.layers.append(torch.nn.BatchNorm1d(UNITS))
    assert nn.Recurrent(nn.Block(dense), steps=1).steps == 1
    with pytest.raises(ArgumentError, match=r"torch's batch normalisation for 3 steps, expected Norm"):
        nn.Recurrent(nn.Block(dense), steps=3)
