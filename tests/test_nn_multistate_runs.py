"""Runs of networks of several states: what goes on, what is told and read, and the ways of torch."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from multistate_networks import (
    BATCH,
    CHAIN,
    DOUBLE,
    IMAGE,
    NAMES,
    STEPS,
    V1,
    V2,
    V4,
    differs,
    drawn,
    feedforward,
    hierarchy,
    images,
    joined,
    one_state,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from cortexres.nn.areas import Area, Connection, delay_steps, operator_between
from cortexres.nn.areas.adjacency import Unrolling
from cortexres.nn.areas.multistate import MultiState
from cortexres.nn.block import Block
from cortexres.nn.norms import Norm
from cortexres.nn.shortcuts import NoShortcut, SoftAssignment
from cortexres.nn.transforms.convolutional import Convolutional
from cortexres.nn.transforms.dense import Dense


@pytest.mark.parametrize("unrolling", ["biological", "engineering"])
def test_a_continued_run_is_the_whole_run(unrolling: Unrolling) -> None:
    norm = Norm("layer", steps=9)
    block = Block(Convolutional(5, norm=norm, rng=9, dtype=DOUBLE), SoftAssignment(0.5))
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(drawn(*parameter.shape, seed=1))  # norms differ from step to step
    connections = [*feedforward(), Connection("V2", "V2", block), joined(V4, V1, 5, delay=4)]
    network = MultiState(CHAIN, connections, input_area=IMAGE, steps=9, unrolling=unrolling, readout="all")
    movie = images(0, 9)
    whole, last = network(movie)
    early, between = network(movie[:, :5])
    late, end = network(movie[:, 5:], between, first_step=5)
    assert torch.equal(torch.cat([early, late], dim=1), whole)
    assert between["V4.past"].shape == (BATCH, 3, *V4.shape)
    assert end.keys() == last.keys() == {"V1", "V2", "V4", "V4.past"}
    assert all(torch.equal(end[key], last[key]) for key in last)


def test_an_input_at_first_does_not_enter_a_continued_run() -> None:
    network = hierarchy(steps=5, injection="first")
    whole, _ = network(images(), steps=5)
    _, between = network(images(), steps=3)
    late, _ = network(images(), between, steps=2, first_step=3)
    assert torch.equal(late, whole[:, 3:])


def test_states_that_are_left_out_are_at_rest() -> None:
    network = hierarchy(steps=3)
    state = drawn(BATCH, *V2.shape)
    full = {"V1": torch.zeros(BATCH, *V1.shape, dtype=DOUBLE), "V2": state}
    assert torch.equal(network(images(), {"V2": state})[0], network(images(), full)[0])
    assert not torch.equal(network(images(), {"V2": state})[0], network(images())[0])
    assert network(images(), {}, steps=1)[0].shape == (BATCH, 1, *V4.shape)


def test_the_readout_is_of_the_steps_and_the_area_that_it_names() -> None:
    every = hierarchy(readout_area="V2")(images())[0]
    assert every.shape == (BATCH, STEPS, *V2.shape)
    assert torch.equal(hierarchy(readout_area="V2", readout="last")(images())[0], every[:, -1])
    assert torch.equal(hierarchy(readout_area="V2", readout=3)(images())[0], every[:, 2])
    assert torch.equal(hierarchy(readout_area="V2", readout=(2, 4))(images())[0], every[:, [1, 3]])


def test_operators_are_told_the_step_where_they_ask() -> None:
    class Clock(torch.nn.Module):
        def forward(self, x: Tensor, step: int = -1) -> Tensor:
            return x + step

    connections = [Connection("x", "a", Clock()), Connection("a", "b", Clock()), Connection("b", "b")]
    network = MultiState([Area("a", 1), Area("b", 1)], connections, input_area=Area("x", 1), steps=4, readout="all")
    zero = torch.zeros(1, 1)
    assert network.trajectory(zero)["a"].response.flatten().tolist() == [0, 0, 1, 2, 3]
    assert network.trajectory(zero, first_step=10)["a"].response.flatten().tolist() == [0, 10, 11, 12, 13]
    assert network(zero)[0].flatten().tolist() == [0, 1, 4, 9]


@pytest.mark.parametrize("split", ["parts", "alone"])
def test_what_is_given_and_what_recurrence_adds_are_the_state(split: str) -> None:
    connections = [
        *feedforward(),
        joined(V1, V1, 5),
        Connection("V2", "V2", Block(Convolutional(5, rng=6, dtype=DOUBLE), activation=torch.relu)),
        joined(V4, V2, 7),
    ]
    network = MultiState(CHAIN, connections, input_area=IMAGE, steps=STEPS)
    run, x = network.trajectory(images(), split=split), images()  # type: ignore[arg-type]
    assert torch.equal(run["V1"].carried[:, 1], connections[0].operator(x))  # the image alone
    assert torch.equal(run["V1"].update[:, 3], connections[3].operator(run["V1"].response[:, 2]))
    above = connections[5].operator(run["V4"].response[:, 3])
    below = connections[1].operator(run["V1"].response[:, 3])
    assert torch.equal(run["V2"].carried[:, 4], run["V2"].response[:, 3] + (below + above))
    assert not run["V4"].update.any()
    assert torch.equal(run["V4"].carried, run["V4"].response)
    for name, after in (("V1", lambda total: total), ("V2", torch.relu)):
        assert torch.equal(after(run[name].carried + run[name].update)[:, 1:], run[name].response[:, 1:])


def test_a_drive_inside_f_can_be_told_from_the_past() -> None:
    """What F makes of the drive with the state at rest is carried; the past changes nothing at the first step."""
    block = Block(Dense(6, rng=1, dtype=DOUBLE), NoShortcut())
    network, x = one_state(block), drawn(BATCH, 6)
    parts, alone = (network.trajectory(x, split=split)["h"] for split in ("parts", "alone"))
    assert torch.equal(parts.response, alone.response)
    assert not parts.carried[:, 1:].any()
    evoked = block.transform(torch.zeros_like(x), x)
    assert torch.equal(alone.carried[:, 1:], evoked[:, None].expand(-1, STEPS, -1))
    assert not alone.update[:, 1].any()
    assert alone.update[:, 2].any()
    torch.testing.assert_close(alone.carried + alone.update, alone.response, rtol=0, atol=1e-15)
    kept = one_state(Block(Dense(6, rng=1, dtype=DOUBLE))).trajectory(x, split="alone")["h"]
    assert torch.equal(kept.carried[:, 2], kept.response[:, 1] + evoked)  # a shortcut is carried as ever


def test_the_past_is_told_from_the_drive_with_the_norm_of_its_step() -> None:
    block = Block(Dense(6, norm=Norm("layer", steps=STEPS), rng=1, dtype=DOUBLE), NoShortcut())
    with torch.no_grad():
        block.transform.norms[0].weight.copy_(drawn(STEPS, 6))
    run = one_state(block).trajectory(drawn(BATCH, 6), split="alone")["h"]
    for step in range(STEPS):
        evoked = block.transform(torch.zeros(BATCH, 6, dtype=DOUBLE), drawn(BATCH, 6), step)
        assert torch.equal(run.carried[:, step + 1], evoked)


def test_delays_in_ms_write_a_hierarchy_down_in_the_units_of_circuits() -> None:
    """Areas of rate units: 1 ms within an area, 4 ms between them, in steps of 0.5 ms."""
    dt, tau = 0.5, 10.0
    areas = [Area(name, 8) for name in NAMES]
    lateral, between = delay_steps(1.0, dt), delay_steps(4.0, dt)
    connections = [Connection("drive", "V1")]
    for k, area in enumerate(areas):
        block = Block(Dense(8, rng=k, dtype=DOUBLE), SoftAssignment(dt / tau))
        recurrence = operator_between(area, area, rng=k, dtype=DOUBLE)
        connections += [Connection(area.name, area.name, block)]
        connections += [Connection(area.name, area.name, recurrence, kind="feedback", delay=lateral)]
    connections += [Connection(*pair, delay=between) for pair in itertools.pairwise(NAMES)]
    connections += [Connection("V4", "V1", delay=between)]
    network = MultiState(areas, connections, input_area=Area("drive", 8), steps=40, readout="all")
    one, other = (network.trajectory(drawn(BATCH, 8, seed=seed)) for seed in (0, 1))
    for k, name in enumerate(NAMES):
        assert differs(one[name].response, other[name].response).index(True) == 1 + k * 8
    assert (delay_steps(0, 0.1), delay_steps(1.5, 0.1), delay_steps(0.3, 0.1)) == (0, 15, 3)


def normed(**options: object) -> MultiState:
    """Every kind of connection, with batch normalisation per step, in float32."""
    norm = Norm("batch", steps=4)
    make = {"norm": norm, "activation": torch.relu, **options}
    block = Block(Convolutional(4, norm=norm, rng=3), activation=torch.relu)
    connections = [
        Connection("image", "V1", operator_between(IMAGE, V1, rng=0, **make)),  # type: ignore[arg-type]
        Connection("V1", "V1", block),
        Connection("V1", "V2", operator_between(V1, V2, rng=1, **make), delay=2),  # type: ignore[arg-type]
        Connection("V2", "V1", operator_between(V2, V1, rng=2, **make)),  # type: ignore[arg-type]
    ]
    return MultiState([V1, V2], connections, input_area=IMAGE, steps=4)


def test_names_in_checkpoints_are_those_of_areas_and_stay() -> None:
    network = hierarchy()
    names = {key.rsplit(".layer", 1)[0] for key in network.state_dict()}
    assert names == {
        "connections.feedforward.image_to_V1",
        "connections.feedforward.V1_to_V2",
        "connections.feedforward.V2_to_V4",
        "connections.lateral.V2_to_V2",
        "connections.lateral.V4_to_V4",
        "connections.feedback.V4_to_V1",
        "connections.feedback.V2_to_V1",
    }
    assert "connections.lateral.V1_to_V1.transform.layers.0.norm.running_mean" in normed().state_dict()


def test_save_copy_and_pickle(tmp_path: object) -> None:
    network, x = normed(), images().float()
    network(x)
    path = f"{tmp_path}/states.safetensors"
    save_file(network.state_dict(), path)
    loaded = normed()
    loaded.load_state_dict(load_file(path))
    expected = network.eval()(x)[0]
    for other in (loaded, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other.eval()(x)[0], expected)
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(network(x)[0], expected)


def test_every_parameter_has_a_gradient_and_nothing_is_kept() -> None:
    network, x = normed(), images().float()
    network(x)[0].square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    network.eval()
    first = network(x)[0]
    network(images(1).float())
    assert torch.equal(network(x)[0], first)


def test_weights_are_drawn_anew_from_a_seed() -> None:
    first, second = hierarchy(), hierarchy()
    before = first(images())[0]
    for network, seed in ((first, 3), (second, 3)):
        network.reset_parameters(seed)
    assert not torch.equal(first(images())[0], before)
    assert torch.equal(first(images())[0], second(images())[0])


def test_compiles_to_one_graph_and_exports() -> None:
    network, x = normed().eval(), images().float()
    expected, last = network(x)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x)[0], expected)
    exported = torch.export.export(network, (x,)).module()
    torch.testing.assert_close(exported(x)[0], expected)
    assert exported(x)[1].keys() == last.keys() == {"V1", "V1.past", "V2"}


def test_runs_in_mixed_precision_and_without_a_device() -> None:
    network, x = normed(), images().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(x)[0].isfinite().all()
        assert network.trajectory(x)["V2"].response.isfinite().all()
    shapes = normed(device="meta")
    shapes.to("meta")
    assert shapes(x.to("meta"))[0].shape == (BATCH, *V2.shape)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_computes_the_same() -> None:
    network, x = hierarchy(), images()
    expected = network(x)[0]
    expected.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    output = network.cuda()(x.cuda())[0]
    torch.testing.assert_close(output.cpu(), expected, rtol=1e-10, atol=1e-10)
    output.square().sum().backward()
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad.cpu(), gradient, rtol=1e-9, atol=1e-9)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert normed().cuda()(x.float().cuda())[0].isfinite().all()


def test_print_says_what_it_is() -> None:
    text = str(hierarchy(noise=0.1, readout="last"))
    assert "V1 V2 V4, steps=5, unrolling='biological', injection='every', readout='last' of V4, noise=0.1" in text
    assert "4, 5, factor=2, by='stride'" in text
    assert "6, 4, factor=4, size=(12, 12), by='nearest'" in text
