"""Networks by name: a definition of `models/networks/`, with what shall be otherwise, into modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cortexres.definitions import Network, load_network, network_with
from cortexres.nn.areas.cornet_rt import CornetRT
from cortexres.nn.areas.cornet_s import CornetS
from cortexres.nn.initial import Rng
from cortexres.nn.networks import makers
from cortexres.nn.networks.makers import Making, Shape
from cortexres.nn.networks.residual_memory import ResidualMemory
from cortexres.nn.networks.staged import Stage, StagedNetwork
from cortexres.nn.recurrent import Recurrent

Created = StagedNetwork | ResidualMemory | CornetRT | CornetS


def create(
    name: str | Path,
    *,
    rng: Rng = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **changes: object,
) -> Created:
    """Return a network by its name, with initial weights.

    Parameters
    ----------
    name : str or Path
        A name of `list_networks`, such as ``"resnet20_tied"``, or the path of a .toml file.
    rng : int or numpy Generator, optional
        Where the weights come from; torch's global generator where it is left out.
    device, dtype : optional
        Of all parameters. On the device ``"meta"`` nothing is filled: to count the parameters of a large network.
    **changes
        What shall be other than in the definition, by the names of `cortexres.definitions.Network`: ``classes``,
        ``channels``, ``blocks``, ``widths``, ``strides``, ``tied``, ``norm``, ``shortcut``, ``transform``,
        ``transition``, ``order``, ``activation``, ``stem``, ``memory``, ``size``. A part is given by its kind or by
        a table, ``norm={"kind": "group", "groups": 4}``; one number of blocks is that of every stage.

    Raises
    ------
    DefinitionError
        If no network has that name, or a change is not one that a network can have; near names are given.
    """
    return build(network_with(load_network(name), changes), rng=rng, device=device, dtype=dtype)


def build(
    network: Network,
    *,
    rng: Rng = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Created:
    """Return the network of a definition, with initial weights; arguments as in `create`."""
    draw = None if rng is None else np.random.default_rng(rng)
    return _ARCHITECTURES[network.architecture.kind](Making(network, draw, device, dtype))


def _staged(making: Making) -> Created:
    """Return stages of blocks, with a memory where there is one."""
    network = making.network
    before, stages = int(network.stem.options["width"]), []
    first = makers.stem(making)
    for after, stride, blocks in zip(network.widths, network.strides, network.blocks, strict=True):
        stages.append(_stage(making, Shape(before, after, stride), blocks))
        before = after
    trunk = StagedNetwork(first, stages, makers.head(making), name=network.name)
    if not network.memory:
        return trunk
    return ResidualMemory(trunk, hidden_size=network.memory, classes=network.classes, **making.place)


def _stage(making: Making, shape: Shape, blocks: int) -> Stage:
    """Return a stage of so many blocks; where the shape changes, the first makes the change, and the others recur."""
    transition = makers.block(making, shape) if shape.changes else None
    steps = blocks - shape.changes
    if not steps:
        return Stage(transition)
    if making.network.tied:
        shared = makers.block(making, Shape(shape.after, shape.after, steps=steps))
        return Stage(transition, Recurrent(shared, steps=steps, injection="first", readout="last"))
    own = [makers.block(making, Shape(shape.after, shape.after)) for _ in range(steps)]
    return Stage(transition, Recurrent(own, injection="first", readout="last"))


def _cornet_rt(making: Making) -> CornetRT:
    made = CornetRT(size=making.network.size, **_areas(making))
    made.name = making.network.name
    return made


def _cornet_s(making: Making) -> CornetS:
    made = CornetS(recurrences=making.network.blocks[1:], **_areas(making))
    made.name = making.network.name
    return made


def _areas(making: Making) -> dict[str, Any]:
    """Return what both networks of areas take."""
    network = making.network
    sizes = {"n_classes": network.classes, "in_channels": network.channels, "channels": network.widths}
    return {**sizes, "norm": making.norm(), **network.architecture.options, **making.place}


_ARCHITECTURES: Mapping[str, Callable[[Making], Created]] = {
    "staged": _staged,
    "cornet_rt": _cornet_rt,
    "cornet_s": _cornet_s,
}
