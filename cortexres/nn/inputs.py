"""What a network sees of stimuli: its own inputs where it makes them, else the images as maps."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from cortexres.errors import ArgumentError


@runtime_checkable
class Seeing(Protocol):
    """A network that says itself what it sees of stimuli."""

    def inputs(self, stimuli: xr.Dataset) -> Tensor:
        """Return what the network sees, (stimulus, ...)."""
        ...


def inputs_of(
    network: object,
    stimuli: xr.Dataset,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return what a network sees of stimuli, (stimulus, ...).

    Parameters
    ----------
    network : Module or Seeing
        With a method ``inputs(stimuli)``, or any module that takes images, (batch, channel, y, x).
    stimuli : Dataset
        ``image`` (stimulus, y, x), which becomes one channel, or (stimulus, channel, y, x).
    device, dtype : optional
        Those of the network's first floating-point parameter where they are left out; a network that makes its own
        inputs also has a type for them.

    Raises
    ------
    ArgumentError
        If the stimuli hold no still images, or the network's first convolution takes another number of channels.
    """
    own_device, own_dtype = place_of(network)
    if isinstance(network, Seeing):
        seen = network.inputs(stimuli)
        return seen.to(device or own_device, dtype or seen.dtype)
    images = torch.as_tensor(_maps(stimuli), dtype=dtype or own_dtype, device=device or own_device)
    if isinstance(network, nn.Module):
        _check_channels(network, images.shape[1])
    return images


def place_of(network: object) -> tuple[torch.device, torch.dtype]:
    """Return the device and the floating-point type of a network."""
    if isinstance(network, nn.Module):
        for values in (*network.parameters(), *network.buffers()):
            if values.is_floating_point():
                return values.device, values.dtype
    return torch.device("cpu"), torch.float32


def _maps(stimuli: xr.Dataset) -> np.ndarray:
    """Return still images as (stimulus, channel, y, x)."""
    if "image" not in stimuli or "frame" in stimuli["image"].dims:
        got = "moving images" if "image" in stimuli else f"{', '.join(map(str, stimuli.data_vars)) or 'nothing'}"
        raise ArgumentError(
            f"got stimuli with {got}, expected still images, (stimulus, y, x); say with inputs= what the network sees"
        )
    image = stimuli["image"]
    if "channel" not in image.dims:
        image = image.expand_dims("channel")
    return image.transpose("stimulus", "channel", "y", "x").to_numpy()


def channels_of(network: nn.Module) -> int | None:
    """Return the number of channels that the first convolution of a network takes; None where it has none."""
    return next((layer.in_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)


def _check_channels(network: nn.Module, channels: int) -> None:
    expected = channels_of(network)
    if expected is not None and expected != channels:
        what = "grey images (1 channel)" if channels == 1 else f"images of {channels} channels"
        raise ArgumentError(
            f"got {what} for a network whose first convolution takes {expected} channels; give stimuli with the dims "
            "(stimulus, channel, y, x), or say with inputs= how the images become its input, such as "
            f"inputs=lambda batch: nn.inputs_of(None, batch).expand(-1, {expected}, -1, -1)"
        )
