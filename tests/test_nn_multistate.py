"""Networks of several states against plain loops, one-state recurrences, relays and feedforward stacks."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from multistate_networks import (
    BATCH,
    CHAIN,
    DOUBLE,
    IMAGE,
    NAMES,
    STEPS,
    dense_block,
    differs,
    drawn,
    feedforward,
    hierarchy,
    images,
    one_state,
)
from torch.nn import functional

from cortexres.errors import ArgumentError
from cortexres.nn.areas import Area, Connection, operator_between
from cortexres.nn.areas.adjacency import Unrolling, wires_of
from cortexres.nn.areas.multistate import MultiState
from cortexres.nn.areas.unrolling import order_of, reached
from cortexres.nn.block import Block
from cortexres.nn.norms import Norm
from cortexres.nn.recurrent import Injection, Recurrent
from cortexres.nn.shortcuts import Highway, Identity
from cortexres.nn.transforms.convolutional import Convolutional
from cortexres.nn.transforms.dense import Dense


def assert_same_gradients(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    assert pairs
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-12, atol=1e-12)


def highway_block() -> Block:
    transform = Dense(6, norm=Norm("layer", steps=STEPS), rng=1, dtype=DOUBLE)
    return Block(transform, Highway(6, state_dims=1, rng=2, dtype=DOUBLE))


def map_block() -> Block:
    transform = Convolutional(3, norm=Norm("batch", steps=STEPS), rng=1, dtype=DOUBLE)
    return Block(transform, Identity(), activation=torch.relu)


BLOCKS: dict[str, tuple[Callable[[], Block], Area]] = {
    "dense": (dense_block, Area("h", 6)),
    "highway": (highway_block, Area("h", 6)),
    "map": (map_block, Area("h", 3, (5, 4))),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("injection", ["every", "first"])
@pytest.mark.parametrize("unrolling", ["biological", "engineering"])
def test_one_state_with_its_own_block_is_a_recurrent_network(
    name: str, injection: Injection, unrolling: Unrolling
) -> None:
    make, area = BLOCKS[name]
    one = Recurrent(make(), steps=STEPS, injection=injection)
    connections = [Connection("x", "h"), Connection("h", "h", make())]
    many = MultiState(
        [area], connections, input_area=Area("x", area.channels, area.size), steps=STEPS, unrolling=unrolling,
        injection=injection, readout="all",
    )  # fmt: skip
    x = drawn(BATCH, *area.shape)
    ours, theirs = (network(x)[0] for network in (many, one))
    assert torch.equal(ours, theirs)
    for total in (ours, theirs):
        total.square().sum().backward()
    assert_same_gradients(many, one)
    many.eval(), one.eval()
    for mine, other in zip(many.trajectory(x)["h"], one.trajectory(x), strict=True):
        assert torch.equal(mine, other)


def test_so_are_its_movies_its_noise_and_its_later_steps() -> None:
    one = Recurrent(dense_block(), steps=STEPS, noise=0.1)
    many = one_state(dense_block(), noise=0.1)
    movie = drawn(BATCH, 4, 6)
    for x, steps in ((movie, None), (movie, 3), (movie[:, 0], 8)):
        outputs = []
        for network in (many, one):
            torch.manual_seed(7)
            outputs.append(network(x, steps=steps)[0])
        assert torch.equal(*outputs)


def test_so_is_a_first_input_added_to_a_given_state() -> None:
    one, many = Recurrent(dense_block(), steps=STEPS, injection="first"), one_state(dense_block(), injection="first")
    x, state = drawn(BATCH, 6), drawn(BATCH, 6, seed=1)
    assert torch.equal(many(x, {"h": state})[0], one(x, state)[0])


def test_a_tied_chain_of_blocks_is_a_plain_loop() -> None:
    block = Block(Convolutional(3, order="pre", rng=1, dtype=DOUBLE))
    area, connections = Area("h", 3, 5), [Connection("x", "h"), Connection("h", "h", block)]
    network = MultiState([area], connections, input_area=Area("x", 3, 5), steps=9, injection="first")
    state = x = drawn(BATCH, *area.shape)
    for _ in range(9):
        state = state + block.transform(state)
    assert torch.equal(network(x)[0], state)


def test_an_untied_chain_of_blocks_is_one_area_per_block() -> None:
    """Areas of one shape, feedforward within the step: the image goes through one block after the other."""
    tied = Recurrent(Block(Dense(6, rng=1, dtype=DOUBLE)), steps=4, injection="first", readout="last")
    names = ["x", "a", "b", "c", "d"]
    pairs = zip(itertools.pairwise(names), tied.to_untied().blocks, strict=True)
    connections = [Connection(*pair, block) for pair, block in pairs]
    network = MultiState(
        [Area(name, 6) for name in names[1:]], connections, input_area=Area("x", 6), steps=1, unrolling="engineering"
    )
    x = drawn(BATCH, 6)
    assert torch.equal(network(x)[0], tied(x)[0])


def test_a_hierarchy_without_recurrence_is_a_feedforward_stack() -> None:
    connections = feedforward()
    stack = torch.nn.Sequential(*(copy.deepcopy(connection.operator) for connection in connections))
    network = MultiState(CHAIN, connections, input_area=IMAGE, steps=3, unrolling="engineering", readout="all")
    output, expected = network(images())[0], stack(images())
    for row in range(3):
        assert torch.equal(output[:, row], expected)
    output[:, 0].square().sum().backward()
    expected.square().sum().backward()
    assert_same_gradients(network, stack)


def test_in_the_biological_unrolling_an_input_is_in_the_kth_area_after_k_steps() -> None:
    network = MultiState(CHAIN, feedforward(), input_area=IMAGE, steps=STEPS)
    one, other = (network.trajectory(images(seed)) for seed in (0, 1))
    for k, name in enumerate(NAMES, start=1):
        assert differs(one[name].response, other[name].response) == [row >= k for row in range(STEPS + 1)]


def test_a_flash_is_in_the_kth_area_after_k_steps_and_at_no_other_time() -> None:
    network = MultiState(CHAIN, feedforward(), input_area=IMAGE, steps=STEPS)
    movie = torch.zeros(BATCH, STEPS, *IMAGE.shape, dtype=DOUBLE)
    movie[:, 0] = images()
    blank, flash = (network.trajectory(frames) for frames in (torch.zeros_like(movie), movie))
    for k, name in enumerate(NAMES, start=1):
        assert differs(blank[name].response, flash[name].response) == [row == k for row in range(STEPS + 1)]


def test_in_the_engineering_unrolling_an_input_is_everywhere_after_one_step() -> None:
    network = hierarchy("engineering")
    one, other = (network.trajectory(images(seed)) for seed in (0, 1))
    for name in NAMES:
        assert differs(one[name].response, other[name].response) == [row >= 1 for row in range(STEPS + 1)]


def test_feedback_comes_back_after_its_delay() -> None:
    """Into V4 at step 3, and from there to V1 with a delay of 3: what V4 does reaches V1 at step 6."""
    network, silenced = (hierarchy(steps=8) for _ in range(2))
    silent = silenced.get_submodule("connections.feedback.V4_to_V1")
    with torch.no_grad():
        for parameter in silent.parameters():
            parameter.zero_()
    one, other = (made.trajectory(images())["V1"].response for made in (network, silenced))
    assert differs(one, other) == [row >= 6 for row in range(9)]


@pytest.mark.parametrize("unrolling", ["biological", "engineering"])
@pytest.mark.parametrize("movie", [False, True])
def test_a_run_is_what_nested_loops_compute(unrolling: Unrolling, movie: bool) -> None:
    """The loops below know no history, no order of wires and no drive: a table of states by time and area."""
    network, steps = hierarchy(unrolling, steps=8), 8
    x = images(0, steps) if movie else images()
    k = {(c.source, c.target): network.operator(c) for c in network.wires}
    within = 0 if unrolling == "engineering" else 1
    delays = {("V1", "V2"): within, ("V2", "V4"): within, ("V4", "V1"): 3, ("V2", "V1"): 1, ("V2", "V2"): 1}
    delays["V4", "V4"] = 2
    table = {(t, area.name): torch.zeros(BATCH, *area.shape, dtype=DOUBLE) for t in range(-9, 1) for area in CHAIN}
    for t in range(1, steps + 1):
        for target in NAMES:
            total = torch.zeros(())
            for source in NAMES:
                if (source, target) in delays:
                    total = total + k[source, target](table[t - delays[source, target], source])
            if target == "V1":
                total = total + k["image", "V1"](x[:, t - 1] if movie else x)
            table[t, target] = total
    run = network.trajectory(x)
    for t, name in itertools.product(range(steps + 1), NAMES):
        torch.testing.assert_close(run[name].response[:, t], table[t, name], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(network(x)[0][:, -1], table[steps, "V4"], rtol=1e-12, atol=1e-12)


def test_a_fully_recurrent_network_is_one_network_of_all_units() -> None:
    """All n^2 entries of the adjacency, and input to every state: tanh of a matrix of blocks."""
    areas = [Area(name, size, activation=torch.tanh) for name, size in (("a", 2), ("b", 3), ("c", 4))]
    inputs = Area("x", 5)
    connections = [
        Connection(source.name, target.name, operator_between(source, target, rng=seed, dtype=DOUBLE))
        for seed, (source, target) in enumerate(itertools.product([inputs, *areas], areas))
    ]
    network = MultiState(areas, connections, input_area=inputs, steps=STEPS, readout=[3, STEPS])
    weight = {(c.source, c.target): c.operator.weight for c in connections}
    entering = torch.cat([weight["x", target.name] for target in areas])
    whole = torch.cat([torch.cat([weight[s.name, t.name] for s in areas], dim=1) for t in areas])
    x, h, kept = drawn(BATCH, 5), torch.zeros(BATCH, 9, dtype=DOUBLE), []
    for _ in range(STEPS):
        h = torch.tanh(functional.linear(h, whole) + functional.linear(x, entering))
        kept.append(h)
    output, last = network(x)
    torch.testing.assert_close(torch.cat([last[name] for name in "abc"], dim=1), h, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(output, torch.stack([kept[2], kept[4]], dim=1)[..., 5:], rtol=1e-12, atol=1e-12)
    for total in (output, torch.stack([kept[2], kept[4]], dim=1)[..., 5:]):
        grads = torch.autograd.grad(total.sin().sum(), list(weight.values()), retain_graph=True)
        kept.append(torch.cat([grad.flatten() for grad in grads]))
    torch.testing.assert_close(kept[-1], kept[-2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("delay", [2, 3, 5])
def test_a_delay_of_d_steps_is_a_chain_of_relays(delay: int) -> None:
    """d - 1 areas that pass on what they get, and a last step through the operator."""
    inputs, first, last = Area("x", 4), Area("first", 4), Area("last", 3)
    operator = operator_between(first, last, rng=1, dtype=DOUBLE)
    block = Block(Dense(4, rng=2, dtype=DOUBLE))
    both = [Connection("x", "first"), Connection("first", "first", block)]
    late = Connection("first", "last", operator, delay=delay)
    slow = MultiState([first, last], [*both, late], input_area=inputs, steps=9)
    relays = [f"relay{k}" for k in range(1, delay)]
    links = [Connection(*pair) for pair in itertools.pairwise(["first", *relays])]
    areas = [first, *(Area(name, 4) for name in relays), last]
    relayed = MultiState(areas, [*both, *links, Connection(relays[-1], "last", operator)], input_area=inputs, steps=9)
    x, gradients = drawn(BATCH, 9, 4), []
    assert torch.equal(slow(x)[0], relayed(x)[0])
    for network in (slow, relayed):
        gradients.append(torch.autograd.grad(network(x)[0].square().sum(), operator.weight)[0])
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_what_can_depend_on_the_input_is_what_does() -> None:
    """Random wirings with positive weights, where nothing cancels: the bookkeeping against two runs."""
    rng = np.random.default_rng(0)
    names, checked = ["a", "b", "c", "d"], 0
    for _ in range(150):
        unrolling: Unrolling = rng.choice(["biological", "engineering"])
        injection: Injection = rng.choice(["every", "first"])
        pairs = [pair for pair in itertools.product(names, names) if rng.random() < 0.35]
        connections = [Connection("x", name) for name in names if rng.random() < 0.3]
        connections += [Connection(*p, delay=None if rng.random() < 0.5 else int(rng.integers(1, 4))) for p in pairs]
        areas, inputs = [Area(name, 1) for name in names], Area("x", 1)
        try:
            wires = wires_of(areas, inputs, connections, unrolling)
            network = MultiState(
                areas, connections, input_area=inputs, steps=12, unrolling=unrolling, injection=injection, readout="all"
            )
        except ArgumentError:
            continue
        rows = reached(order_of(names, wires, "x"), wires, "x", injection=injection, steps=12)
        runs = [network.trajectory(torch.full((1, 1), value, dtype=DOUBLE)) for value in (1.0, 2.0)]
        assert rows == {name: differs(*(run[name].response for run in runs)) for name in names}
        checked += 1
    assert checked > 30
