"""A chain of recurrent networks, V1, V2, V4 and IT, after CORnet-S: areas are passed through one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.areas.operators import Downsampling
from cortexres.nn.areas.repeated_bottleneck import ProjectionAtFirst, RepeatedBottleneck
from cortexres.nn.areas.ventral_stream import AREAS, SMALL, Retina, check_areas
from cortexres.nn.block import Block
from cortexres.nn.chain import Chain, Step
from cortexres.nn.constrained import computed_once
from cortexres.nn.initial import Rng, reset_children, stream
from cortexres.nn.networks.heads import PooledHead
from cortexres.nn.networks.staged import Stage
from cortexres.nn.norms import Norm
from cortexres.nn.recurrent import Recurrent, Trajectory
from cortexres.nn.shortcuts import NoShortcut
from cortexres.nn.transforms.layer import Layer

BATCH_NORM = Norm("batch")


class CornetS(nn.Module):
    """A network in the style of CORnet-S: areas that are passed through 1, 2, 4 and 2 times, with a shortcut.

    V1 has two convolutions and no recurrence. Every other area begins with a 1 x 1 convolution; then each passage is
    ``h' = relu(shortcut(h) + F(h))``, F a bottleneck, the first of which halves the map. Weights are shared by the
    passages of an area, normalisation has its own for each. The classes are read from the mean of IT over positions.

    Parameters
    ----------
    n_classes, in_channels, channels, rng
        As in `CornetRT`.
    recurrences : sequence of int
        How often V2, V4 and IT are passed through.
    expansion : int
        How many times as many channels the middle of the bottleneck has.
    retina : {"small", "published"}
        V1's first convolution: 3 x 3, or 7 x 7 with a stride of 2 and maximum pooling with another.
    norm : Norm, optional
        Normalisation after every convolution but the first of an area; it gets the number of passages. None: none.

    Raises
    ------
    ArgumentError
        If there are not four areas, or an option is none of those.

    References
    ----------
    Kubilius et al. (2019), Brain-like object recognition with high-performing shallow recurrent ANNs, arXiv:1909.06161
    """

    name = "CORnet-S style"

    def __init__(
        self,
        n_classes: int,
        *,
        in_channels: int = 3,
        channels: Sequence[int] = SMALL,
        recurrences: Sequence[int] = (2, 4, 2),
        expansion: int = 4,
        retina: Retina = "small",
        norm: Norm | None = BATCH_NORM,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_areas(n_classes, channels, retina)
        if len(recurrences) != len(AREAS) - 1:
            raise ArgumentError(f"got {len(recurrences)} recurrences, expected {len(AREAS) - 1}: V1 has none")
        draw = stream(rng)
        made: dict[str, Any] = {"rng": draw, "device": device, "dtype": dtype}
        layer = partial(Layer, norm=_for_steps(norm, 1), rng=draw, device=device, dtype=dtype)
        published = retina == "published"
        first = layer(in_channels, channels[0], 7 if published else 3, stride=2 if published else 1)
        pooling = nn.MaxPool2d(3, stride=2, padding=1) if published else nn.Identity()
        self.channels = list(channels)
        self.v1 = nn.Sequential(first, pooling, layer(channels[0], channels[0], 3))
        self.areas = nn.ModuleDict()
        for k, times in enumerate(recurrences, start=1):
            width = channels[k]
            # no bias, as published: where the first passage normalises each channel, it would be taken away again
            entry = Downsampling(channels[k - 1], width, factor=1, kernel_size=1, bias=norm is None, **made)
            block = Block(
                RepeatedBottleneck(width, expansion=expansion, norm=_for_steps(norm, times), **made),
                ProjectionAtFirst(width, norm=_for_steps(norm, 1), **made),
                activation=torch.relu,
            )
            self.areas[AREAS[k]] = Stage(
                Block(entry, NoShortcut()), Recurrent(block, steps=times, injection="first", readout="last")
            )
        self.head = PooledHead(channels[-1], n_classes, **made)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw all weights anew; norms start where they do."""
        reset_children(self, rng)

    @property
    def facts(self) -> dict[str, object]:
        """Return what `record` keeps of the network."""
        passages = {"V1": 1} | {name: area.steps for name, area in self._areas()}
        return {"passages": passages, "channels": self.channels, "tied": True}

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, class), for images (batch, channel, y, x)."""
        state = self.v1(images)
        for area in self.areas.values():
            state = area(state)
        logits: Tensor = self.head(state)
        return logits

    def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Trajectory]:
        """Return every state by area, each (batch, passages + 1, channel, y, x); row 0 is at rest.

        ``response`` is the ReLU of ``carried + update``: what the shortcut carries of the passage before, and what the
        bottleneck adds. V1 has no recurrence: all is carried. Areas are passed through one after the other; rows of
        two areas are no common time.

        Raises
        ------
        ArgumentError
            If `steps` is given: the passages of each area are fixed.
        """
        if steps is not None:
            raise ArgumentError(f"got steps={steps}, expected none: build the network with other recurrences")
        state = self.v1(inputs)
        trajectories = {"V1": _from_rest([(state, state, torch.zeros_like(state))])}
        for name, area in self._areas():
            rows, blocks = [], area.blocks()
            entry, _ = blocks[0]
            with computed_once(True, area):
                state = entry(state)
                for block, index in blocks[1:]:
                    carried, update = block.parts(state, None, index)
                    state = block.finish(carried + update)
                    rows.append((state, carried, update))
            trajectories[name] = _from_rest(rows)
        return trajectories

    def chain(self) -> Chain:
        """Return the network as a chain; what changes the shape is a stage by itself: entry and first passage."""
        steps = [
            Step(block, index, 3 * k + min(place, 2), f"areas.{name}.{place}")
            for k, (name, area) in enumerate(self._areas())
            for place, (block, index) in enumerate(area.blocks())
        ]
        return Chain(enter=lambda images: (self.v1(images), None), steps=tuple(steps), read=self.head)

    def _areas(self) -> list[tuple[str, Stage]]:
        return [(name, cast("Stage", area)) for name, area in self.areas.items()]


def _from_rest(rows: list[tuple[Tensor, Tensor, Tensor]]) -> Trajectory:
    """Return a trajectory that begins with a state of zeros."""
    rest = torch.zeros_like(rows[0][0])
    return Trajectory(*(torch.stack([rest, *column], dim=1) for column in zip(*rows, strict=True)))


def _for_steps(norm: Norm | None, steps: int) -> Norm | None:
    return None if norm is None else replace(norm, steps=steps)
