"""Networks of several states that cannot be: every fault is named, with what to do."""

from __future__ import annotations

import pytest
import torch
from multistate_networks import (
    BATCH,
    CHAIN,
    IMAGE,
    V1,
    V2,
    dense_block,
    feedforward,
    images,
)

from cortexres.errors import ArgumentError
from cortexres.nn.areas import Area, Connection, Downsampling, Upsampling, delay_steps, operator_between
from cortexres.nn.areas.multistate import MultiState
from cortexres.nn.norms import Norm


def wired(*connections: Connection, **options: object) -> MultiState:
    """Areas a and b of two units, the input into a, and what is given."""
    areas = [Area("a", 2), Area("b", 2)]
    given: dict[str, object] = {"input_area": Area("x", 2), "steps": 3}
    return MultiState(areas, [Connection("x", "a"), *connections], **{**given, **options})  # type: ignore[arg-type]


TO_B = Connection("a", "b")


@pytest.mark.parametrize(
    ("connections", "message"),
    [
        ([Connection("a", "V2")], "from a to V2, expected areas among x, a, b: V2 is none"),
        ([Connection("y", "b")], "from y to b, expected areas among x, a, b: y is none"),
        ([TO_B, Connection("a", "x")], "from a to x, expected another target: nothing changes the input"),
        ([TO_B, Connection("a", "b", delay=2)], "two feedforward connections from a to b, expected one"),
        ([Connection("a", "b", kind="sideways")], "kind='sideways' from a to b, expected one of feedforward"),  # type: ignore[arg-type]
        ([Connection("a", "b", delay=0)], "delay=0 from a to b, expected 1 or more: a connection takes a step"),
        ([Connection("x", "b", delay=2)], "delay=2 from x to b, expected none: an input enters in its own step"),
        ([], "no connection to b, expected one or more: its state would stay at rest"),
    ],
)
def test_connections_that_cannot_be(connections: list[Connection], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        wired(*connections)


def test_areas_that_need_one_another_within_a_step_are_named() -> None:
    with pytest.raises(ArgumentError, match="loop without delay, a -> b -> a, expected a delay of 1 or more"):
        wired(TO_B, Connection("b", "a", delay=0), unrolling="engineering")
    with pytest.raises(ArgumentError, match="loop without delay, b -> b, "):
        wired(TO_B, Connection("b", "b", delay=0), unrolling="engineering")
    with pytest.raises(ArgumentError, match="delay=-1 from a to b, expected 0 or more: none looks ahead"):
        wired(Connection("a", "b", delay=-1), unrolling="engineering")
    zero = Connection("b", "a", delay=0)
    ahead = wired(zero, Connection("x", "b"), unrolling="engineering", readout_area="a", steps=1)
    assert ahead.order == ("b", "a")  # as the zero delay needs it
    assert ahead(torch.ones(1, 2))[0].tolist() == [[2.0, 2.0]]


def test_shapes_that_do_not_fit_name_both_areas() -> None:
    def network(operator: torch.nn.Module, *areas: Area) -> MultiState:
        connections = [Connection("image", "V1", operator_between(IMAGE, V1)), Connection("V1", "V2", operator)]
        return MultiState(areas or (V1, V2), connections, input_area=IMAGE, steps=3)

    with pytest.raises(
        ArgumentError, match=r"from V1 to V2 that makes \(5, 12, 12\) of V1's \(4, 12, 12\), expected V2's \(5, 6, 6\)"
    ):
        network(Downsampling(4, 5, factor=1))
    with pytest.raises(ArgumentError, match=r"from V1 to V2 that cannot take V1's \(4, 12, 12\), expected one that"):
        network(Downsampling(3, 5))
    with pytest.raises(ArgumentError, match=r"between V1 .* and V2 .*, expected the finer to be the coarser times"):
        operator_between(V1, Area("V2", 5, (6, 5)))
    with pytest.raises(ArgumentError, match=r"a map and a dense state between V1 \(4, 12, 12\) and IT \(9,\)"):
        operator_between(V1, Area("IT", 9))
    with pytest.raises(ArgumentError, match="from V1 to V2 that normalises by the step, expected a forward with"):
        network(torch.nn.Sequential(Downsampling(4, 5, norm=Norm("batch", steps=3))))
    with pytest.raises(ArgumentError, match="from V1 to V2 with torch's batch normalisation, expected Norm"):
        network(torch.nn.Sequential(Downsampling(4, 5), torch.nn.BatchNorm2d(5)))
    shared = Norm("group", groups=5, affine="shared")
    made = network(torch.nn.Sequential(Downsampling(4, 5, norm=shared)))
    assert made(images().float())[0].shape == (BATCH, *V2.shape)


def test_a_readout_that_no_input_reaches_says_when_one_does() -> None:
    message = "steps=2 and readout='last', expected a readout after 3 or more steps: an input takes so many from"
    with pytest.raises(ArgumentError, match=message):
        MultiState(CHAIN, feedforward(), input_area=IMAGE, steps=2)
    for readout in ("last", "all", 2, (2, 3)):
        with pytest.raises(ArgumentError, match="expected a readout after 3 or more steps"):
            MultiState(CHAIN, feedforward(), input_area=IMAGE, steps=3 if readout == (2, 3) else 2, readout=readout)
    assert MultiState(CHAIN, feedforward(), input_area=IMAGE, steps=3, readout="all")(images())[0].shape[1] == 3
    assert MultiState(CHAIN, feedforward(), input_area=IMAGE, steps=1, unrolling="engineering").steps == 1
    with pytest.raises(ArgumentError, match="steps=2 and readout='last'"):
        MultiState(CHAIN, feedforward(), input_area=IMAGE, steps=3)(images(), steps=2)
    with pytest.raises(ArgumentError, match="no way from x to b that takes a step or more, expected connections"):
        wired(Connection("b", "b"))
    with pytest.raises(ArgumentError, match="expected a readout after 1 steps"):
        wired(TO_B, injection="first")


def test_faults_of_options_and_inputs_are_named() -> None:
    with pytest.raises(ArgumentError, match="area name 'V 1', expected letters"):
        Area("V 1", 3)
    with pytest.raises(ArgumentError, match=r"area V1 of shape \(3, 0, 0\), expected sizes of 1 or more"):
        Area("V1", 3, 0)
    with pytest.raises(ArgumentError, match="two areas called a, expected names of their own"):
        MultiState([Area("a", 2), Area("a", 2)], [Connection("x", "a")], input_area=Area("x", 2), steps=1)
    with pytest.raises(ArgumentError, match="no areas, expected one or more"):
        MultiState([], [], input_area=Area("x", 2), steps=1)
    with pytest.raises(ArgumentError, match="an activation of h and a block onto itself, expected the block's alone"):
        MultiState(
            [Area("h", 6, activation=torch.relu)], [Connection("x", "h"), Connection("h", "h", dense_block())],
            input_area=Area("x", 6), steps=1,
        )  # fmt: skip
    for options, message in (
        ({"steps": 0}, "steps=0, expected 1 or more"),
        ({"unrolling": "none"}, "unrolling='none', expected 'biological' or 'engineering'"),
        ({"injection": "never"}, "injection='never', expected 'every' or 'first'"),
        ({"noise": -1.0}, "noise=-1.0, expected a standard deviation"),
        ({"readout": 9}, "readout=9, expected 'all', 'last', a step from 1 to 3, or several in order"),
        ({"readout": (3, 2)}, r"readout=\(3, 2\), expected 'all'"),
        ({"readout": "some"}, "readout='some', expected 'all'"),
        ({"readout_area": "V4"}, "readout_area='V4', expected one of a, b"),
    ):
        with pytest.raises(ArgumentError, match=message):
            wired(TO_B, **options)
    network, x = wired(TO_B, readout=3), torch.ones(1, 2)
    with pytest.raises(ArgumentError, match=r"input of shape \(1, 3\), expected \(batch, 2\), or with a time"):
        network(torch.ones(1, 3))
    with pytest.raises(ArgumentError, match="steps=2, expected 3 or more: the network is read after that step"):
        network(x, {}, steps=2)
    with pytest.raises(ArgumentError, match="steps=0, expected 1 or more"):
        network(x, {}, steps=0)
    with pytest.raises(ArgumentError, match="steps=4, expected at most 3: the movie has no more frames"):
        network(torch.ones(1, 3, 2), steps=4)
    with pytest.raises(ArgumentError, match="a state called IT, expected one of a, b"):
        network(x, {"IT": x})
    with pytest.raises(ArgumentError, match=r"state b of shape \(1, 3\), expected \(1, 2\)"):
        network(x, {"b": torch.ones(1, 3)})
    with pytest.raises(ArgumentError, match="split='none', expected 'parts' or 'alone'"):
        network.trajectory(x, split="none")  # type: ignore[arg-type]
    first = wired(TO_B, Connection("a", "a"), injection="first")
    with pytest.raises(ArgumentError, match="a movie with injection='first', expected injection='every'"):
        first(torch.ones(1, 3, 2))


def test_faults_of_operators_and_delays_are_named() -> None:
    with pytest.raises(ArgumentError, match="by='skip', expected one of stride, max, average"):
        Downsampling(2, 2, by="skip")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="by='cubic', expected one of nearest, bilinear, transposed"):
        Upsampling(2, 2, by="cubic")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="factor=0, expected 1 or more"):
        Upsampling(2, 2, factor=0)
    message = r"delay_ms=1\.2 with dt_ms=0\.5, expected a multiple of the step: the nearest are 1 and 1\.5 ms"
    with pytest.raises(ArgumentError, match=message):
        delay_steps(1.2, 0.5)
    with pytest.raises(ArgumentError, match="dt_ms=0, expected a positive"):
        delay_steps(1.0, 0)
    with pytest.raises(ArgumentError, match="delay_ms=-1, expected 0 ms or more"):
        delay_steps(-1, 0.5)
