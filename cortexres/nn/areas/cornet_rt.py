"""A shallow recurrent network of V1, V2, V4 and IT after CORnet-RT: each step takes an image one area further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cortexres.nn.areas.adjacency import Area, Connection, Unrolling
from cortexres.nn.areas.multistate import MultiState
from cortexres.nn.areas.operators import Downsampling
from cortexres.nn.areas.summed_convolution import SummedConvolution
from cortexres.nn.areas.ventral_stream import AREAS, SMALL, Retina, check_areas
from cortexres.nn.block import Block
from cortexres.nn.initial import Rng, reset_children, stream
from cortexres.nn.networks.heads import PooledHead
from cortexres.nn.norms import Norm
from cortexres.nn.recurrent import Trajectory
from cortexres.nn.shortcuts import NoShortcut

GROUP_NORM = Norm("group", affine="shared")


class CornetRT(nn.Module):
    """A network in the style of CORnet-RT: in every area, a convolution of its input plus its own past.

    Per step, ``x = relu(norm(W_in * below))`` and ``h' = relu(norm(W * (x + h)))``; each area is half as fine as the
    one below. The classes are read from the mean of IT over positions, after the last step.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    in_channels, size : int
        Of the images, (batch, channel, size, size).
    channels : sequence of int
        Of V1, V2, V4 and IT.
    steps : int
        Number of steps; an image needs four to reach IT.
    retina : {"small", "published"}
        V1's convolution of the image: 3 x 3, or 7 x 7 with a stride of 4.
    norm : Norm, optional
        Normalisation after every convolution; None: none.
    unrolling : {"biological", "engineering"}
        As in `MultiState`.
    rng : int or numpy Generator, optional
        Where the weights come from.

    Raises
    ------
    ArgumentError
        If there are not four areas, an option is none of those, or the steps are too few.

    References
    ----------
    Kubilius et al. (2018), CORnet: modeling the neural mechanisms of core object recognition, doi:10.1101/408385
    """

    name = "CORnet-RT style"

    def __init__(
        self,
        n_classes: int,
        *,
        in_channels: int = 3,
        size: int = 32,
        channels: Sequence[int] = SMALL,
        steps: int = 5,
        retina: Retina = "small",
        norm: Norm | None = GROUP_NORM,
        unrolling: Unrolling = "biological",
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_areas(n_classes, channels, retina)
        draw = stream(rng)
        made: dict[str, Any] = {"norm": norm, "rng": draw, "device": device, "dtype": dtype}
        kernel_size, stride = (3, 1) if retina == "small" else (7, 4)
        below, areas, connections = Area("image", in_channels, size), [], []
        for k, (name, width) in enumerate(zip(AREAS, channels, strict=True)):
            factor = 2 if k else stride
            area = Area(name, width, -(-below.shape[1] // factor))
            convolution = Downsampling(
                below.channels, width, factor=factor, kernel_size=3 if k else kernel_size, activation=torch.relu, **made
            )
            block = Block(SummedConvolution(width, **made), NoShortcut())
            connections += [Connection(below.name, name, convolution), Connection(name, name, block)]
            areas.append(area)
            below = area
        self.states = MultiState(
            areas, connections, input_area=Area("image", in_channels, size), steps=steps, unrolling=unrolling
        )
        self.head = PooledHead(channels[-1], n_classes, rng=draw, device=device, dtype=dtype)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw all weights anew; norms start where they do."""
        reset_children(self, rng)

    @property
    def facts(self) -> dict[str, object]:
        """Return what `record` keeps of the network."""
        areas = {name: list(area.shape) for name, area in self.states.areas.items()}
        return {"areas": areas, "steps": self.states.steps, "unrolling": self.states.unrolling, "tied": True}

    def forward(self, images: Tensor, *, steps: int | None = None) -> Tensor:
        """Return the logits, (batch, class), for images (batch, channel, y, x), or movies, (batch, time, ...)."""
        last, _ = self.states(images, steps=steps)
        logits: Tensor = self.head(last)
        return logits

    def trajectory(self, inputs: Tensor, steps: int | None = None) -> dict[str, Trajectory]:
        """Return every state by area, each (batch, steps + 1, channel, y, x); row 0 is at rest.

        ``carried`` is what the input from below would evoke alone, and ``update`` what the area's own past changes of
        it: the input drives, the recurrence answers. They add up to ``response`` up to rounding.
        """
        return self.states.trajectory(inputs, steps=steps, split="alone")
