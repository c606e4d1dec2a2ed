"""A hierarchy of three areas for tests: V1, V2 and V4, with and without what makes it recurrent."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from cortexres.nn.areas import Area, Connection, operator_between
from cortexres.nn.areas.adjacency import Unrolling
from cortexres.nn.areas.multistate import MultiState
from cortexres.nn.block import Block
from cortexres.nn.shortcuts import SoftAssignment
from cortexres.nn.transforms.dense import Dense

BATCH, STEPS, DOUBLE = 3, 5, torch.float64
IMAGE = Area("image", 2, 12)
V1, V2, V4 = Area("V1", 4, 12), Area("V2", 5, 6), Area("V4", 6, 3)
CHAIN = (V1, V2, V4)
NAMES = tuple(area.name for area in CHAIN)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


def images(seed: int = 0, *time: int) -> Tensor:
    return drawn(BATCH, *time, *IMAGE.shape, seed=seed)


def joined(source: Area, target: Area, seed: int, **options: object) -> Connection:
    made = operator_between(source, target, activation=torch.tanh, rng=seed, dtype=DOUBLE)
    return Connection(source.name, target.name, made, **options)  # type: ignore[arg-type]


def feedforward() -> list[Connection]:
    pairs = itertools.pairwise((IMAGE, *CHAIN))
    return [joined(source, target, seed) for seed, (source, target) in enumerate(pairs)]


def hierarchy(unrolling: Unrolling = "biological", **options: object) -> MultiState:
    """Three areas with feedforward, lateral and feedback connections, two of them slow."""
    more = [joined(V4, V1, 5, delay=3), joined(V2, V1, 6), joined(V2, V2, 7), joined(V4, V4, 8, delay=2)]
    given: dict[str, object] = {"input_area": IMAGE, "steps": STEPS, "unrolling": unrolling, "readout": "all"}
    return MultiState(CHAIN, feedforward() + more, **{**given, **options})  # type: ignore[arg-type]


def differs(a: Tensor, b: Tensor) -> list[bool]:
    """Say of every row of two trajectories whether it differs."""
    return [not torch.equal(a[:, row], b[:, row]) for row in range(a.shape[1])]


def dense_block() -> Block:
    return Block(Dense(6, rng=1, dtype=DOUBLE), SoftAssignment(0.3))


def one_state(block: Block, **options: object) -> MultiState:
    """One dense state with a block onto itself."""
    given: dict[str, object] = {"input_area": Area("x", 6), "steps": STEPS, "readout": "all"}
    connections = [Connection("x", "h"), Connection("h", "h", block)]
    return MultiState([Area("h", 6)], connections, **{**given, **options})  # type: ignore[arg-type]
