"""What a block carries past its residual function, and the share of the update that it adds.

Each shortcut returns the two terms whose sum is the next state: what is carried of x, and what is added of F(x). So
x + F(x) can be recorded, lesioned and differentiated for all of them alike. A drive u that enters beside F is part of
what is carried, by the same share as F: where gamma is dt / tau, (F + u) dt / tau is added to a leaky state.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, empty_convolution, empty_linear, fill_
from cortexres.nn.norms import Norm, normalised
from cortexres.nn.sizes import check_sizes
from cortexres.nn.transforms.transform import driven


class Identity(nn.Module):
    """``h + F``: what comes in is carried on unchanged.

    References
    ----------
    He, Zhang, Ren & Sun (2016), Identity mappings in deep residual networks, doi:10.1007/978-3-319-46493-0_38
    """

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (h + u, F)."""
        return _beside(state, drive), update


class NoShortcut(nn.Module):
    """``F`` alone: a plain feedforward step, or that of an Elman network; the control of every residual claim."""

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (u, F)."""
        return _beside(torch.zeros_like(update), drive), update


class ZeroPadding(nn.Module):
    """``pad(h) + F``, option A of He et al.: positions are subsampled, and missing channels are zeros; no parameters.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after; the new ones come after the old.
    stride : int
        Every stride-th position is carried; 1 for dense states.

    Raises
    ------
    ArgumentError
        If channels would be lost, a size is below 1, or dense states are to be subsampled.

    References
    ----------
    He, Zhang, Ren & Sun (2016), Deep residual learning, doi:10.1109/CVPR.2016.90
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, stride=stride)
        if out_channels < in_channels:
            raise ArgumentError(
                f"got {in_channels} channels and {out_channels} after, expected as many or more: zero padding cannot "
                "drop channels; use Projection"
            )
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (subsampled and padded h + u, F)."""
        if state.ndim != 4 and self.stride != 1:
            raise ArgumentError(f"got stride={self.stride} for dense states, expected 1: they have no positions")
        carried = state[:, :, :: self.stride, :: self.stride] if state.ndim == 4 else state
        missing = self.out_channels - self.in_channels
        padded = functional.pad(carried, (0, 0) * (carried.ndim - 2) + (0, missing))
        return _beside(padded, drive), update

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}"


class Projection(nn.Module):
    """``P h + F``: a learned linear map (1 x 1 convolution) and its normalisation; options B and C of He et al.

    In B it stands where the shape changes, in C everywhere.

    Parameters
    ----------
    in_channels, out_channels, stride : int
        How the shape changes.
    state_dims : int
        1 for dense states, 3 for maps.
    norm : Norm, optional
        Normalisation after the map.
    rng : int or numpy Generator, optional
        Where the weights come from.

    Raises
    ------
    ArgumentError
        If a size is below 1, or `state_dims` is neither 1 nor 3, or dense states have a stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        state_dims: int = 3,
        norm: Norm | None = None,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, stride=stride)
        _check_dims(state_dims, stride)
        if state_dims == 1:
            self.map: nn.Linear | nn.Conv2d = empty_linear(
                in_channels, out_channels, bias=False, device=device, dtype=dtype
            )
        else:
            self.map = empty_convolution(in_channels, out_channels, 1, stride=stride, device=device, dtype=dtype)
        self.norm = None if norm is None else norm.build(out_channels, device=device, dtype=dtype)
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the map anew, with standard deviation ``1 / sqrt(in_channels)``: it keeps the size of the state."""
        fill_(self.map, rng, gain=1.0)
        if self.norm is not None:
            self.norm.reset_parameters()

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (P h + u, F)."""
        return _beside(normalised(self.norm, self.map(state), step), drive), update


class Linear(nn.Module):
    """``A h + F`` with a learned A that starts as the identity: what a shortcut becomes where it may.

    Parameters
    ----------
    channels : int
        Channels of the state.
    state_dims : int
        1 for dense states, 3 for maps (then A is a 1 x 1 convolution).

    Raises
    ------
    ArgumentError
        If `channels` is below 1, or `state_dims` is neither 1 nor 3.
    """

    def __init__(
        self,
        channels: int,
        *,
        state_dims: int = 3,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels)
        _check_dims(state_dims, 1)
        self.state_dims = state_dims
        shape = (channels, channels) if state_dims == 1 else (channels, channels, 1, 1)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self, rng: Rng = None) -> None:
        """Set A to the identity; nothing is drawn."""
        nn.init.eye_(self.weight) if self.state_dims == 1 else nn.init.dirac_(self.weight)

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (A h + u, F)."""
        apply = functional.linear if self.state_dims == 1 else functional.conv2d
        return _beside(apply(state, self.weight), drive), update


class Highway(nn.Module):
    """``(1 - T) h + T F`` with a learned gate ``T = sigmoid(W h + b)`` per unit; b < 0 carries at first.

    With `Dense` it is the step of a GRU without reset gate whose update gate sees the state alone, and an Euler step
    whose time constant depends on the state.

    Parameters
    ----------
    channels : int
        Channels of the state.
    state_dims : int
        1 for dense states, 3 for maps (then W is a 1 x 1 convolution).
    bias : float
        b at the start; Srivastava et al. take -1 to -3.
    rng : int or numpy Generator, optional
        Where the weights come from.

    Raises
    ------
    ArgumentError
        If `channels` is below 1, or `state_dims` is neither 1 nor 3.

    References
    ----------
    Srivastava, Greff & Schmidhuber (2015), Training very deep networks, arXiv:1507.06228
    """

    def __init__(
        self,
        channels: int,
        *,
        state_dims: int = 3,
        bias: float = -2.0,
        rng: Rng = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels)
        _check_dims(state_dims, 1)
        self.initial_bias = bias
        if state_dims == 1:
            self.gate: nn.Linear | nn.Conv2d = empty_linear(channels, channels, device=device, dtype=dtype)
        else:
            self.gate = empty_convolution(channels, channels, 1, bias=True, device=device, dtype=dtype)
        self.reset_parameters(rng)

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw W anew, with standard deviation ``1 / sqrt(channels)``, and set b."""
        fill_(self.gate, rng, gain=1.0)
        nn.init.constant_(self.gate.get_parameter("bias"), self.initial_bias)

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ((1 - T) h + T u, T F)."""
        opened = torch.sigmoid(self.gate(state))
        return _beside((1 - opened) * state, drive, opened), opened * update

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"bias={self.initial_bias:g}"


class Scaled(nn.Module):
    """``h + s F`` with a constant s: 0.1 to 0.3 keeps wide networks alive, ``dt / tau`` makes it an Euler step.

    Raises
    ------
    ArgumentError
        If s is not positive.

    References
    ----------
    Szegedy, Ioffe, Vanhoucke & Alemi (2017), Inception-v4, Inception-ResNet, arXiv:1602.07261
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        if not scale > 0:
            raise ArgumentError(f"got scale={scale}, expected a positive number, such as 0.2 or dt / tau")
        self.scale = scale

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (h + s u, s F)."""
        return _beside(state, drive, self.scale), self.scale * update

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{self.scale:g}"


class SoftAssignment(nn.Module):
    """``(1 - gamma) h + gamma F``: a leaky state, ``gamma = dt / tau``; memory that is written softly.

    Parameters
    ----------
    gamma : float or Tensor of shape (channel,)
        One for all, or one for each unit or channel, as where excitatory and inhibitory cells differ in tau.

    Raises
    ------
    ArgumentError
        If gamma is not above 0 and at most 1.

    References
    ----------
    McPhee & Poli (2008), Memory with memory: soft assignment in genetic programming, doi:10.1145/1389095.1389328
    """

    gamma: float | Tensor

    def __init__(self, gamma: float | Tensor) -> None:
        super().__init__()
        values = torch.as_tensor(gamma)
        if values.ndim > 1 or not bool(((values > 0) & (values <= 1)).all()):
            raise ArgumentError(f"got gamma={gamma}, expected numbers above 0 and at most 1, such as dt / tau")
        self._known = gamma.detach().to("cpu", copy=True) if isinstance(gamma, Tensor) else gamma
        if isinstance(gamma, Tensor):
            self.register_buffer("gamma", gamma.detach().clone())
        else:
            self.gamma = gamma

    def reset_parameters(self, rng: Rng = None) -> None:
        """Set gamma again, after `to_empty` has left it undefined; nothing is drawn."""
        if isinstance(self.gamma, Tensor):
            self.gamma.copy_(cast("Tensor", self._known))

    @property
    def leaks(self) -> bool:
        """Return whether anything of the state is carried, that is, whether gamma is below 1 anywhere."""
        return bool((torch.as_tensor(self.gamma) < 1).any())

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return ((1 - gamma) h + gamma u, gamma F)."""
        gamma = self.gamma
        if isinstance(gamma, Tensor):
            gamma = gamma.to(update).view(-1, *(1,) * (update.ndim - 2))
        return _beside((1 - gamma) * state, drive, gamma), gamma * update

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        return f"{len(self.gamma)} values" if isinstance(self.gamma, Tensor) and self.gamma.ndim else f"{self.gamma:g}"


class LearnedScale(nn.Module):
    """``h + a F`` with one learned a per channel that starts at zero: at first the block is the identity.

    Until a has moved, no gradient reaches F.

    Raises
    ------
    ArgumentError
        If `channels` is below 1.

    References
    ----------
    Bachlechner et al. (2021), ReZero is all you need, arXiv:2003.04887; De & Smith (2020), arXiv:2002.10444
    """

    def __init__(
        self, channels: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        check_sizes(channels=channels)
        self.scale = nn.Parameter(torch.empty(channels, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self, rng: Rng = None) -> None:
        """Set a to 0; nothing is drawn."""
        nn.init.zeros_(self.scale)

    def forward(
        self, state: Tensor, update: Tensor, step: int = 0, drive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (h + u, a F)."""
        return _beside(state, drive), self.scale.view(-1, *(1,) * (update.ndim - 2)) * update


def _beside(carried: Tensor, drive: Tensor | None, share: float | Tensor = 1.0) -> Tensor:
    """Return what is carried and the share of a drive beside F that enters with it, the same as the share of F.

    Raises
    ------
    ArgumentError
        If the drive has another shape: torch would stretch it without a word.
    """
    if drive is None:
        return carried
    return driven(carried, drive if isinstance(share, float) and share == 1.0 else share * drive)


def _check_dims(state_dims: int, stride: int) -> None:
    """Raise where states have other dims than those of a layer or a map."""
    if state_dims not in (1, 3):
        raise ArgumentError(f"got state_dims={state_dims}, expected 1 for (unit,) or 3 for (channel, y, x)")
    if state_dims == 1 and stride != 1:
        raise ArgumentError(f"got stride={stride} for dense states, expected 1: they have no positions")
