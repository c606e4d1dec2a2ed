"""Several residual functions side by side: the state and the sum of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, reset_children
from cortexres.nn.norms import StepNorm, normalised
from cortexres.nn.transforms.transform import Transform


class MultiResidual(nn.Module):
    """The sum of k branches, ``F(h) = F_1(h) + ... + F_k(h)``; n blocks of them have ``(k + 1)^n`` paths.

    Parameters
    ----------
    branches : sequence of Modules
        Transforms of one shape.
    norm : StepNorm, optional
        Normalisation of the sum.

    Raises
    ------
    ArgumentError
        If there is no branch, or their shapes differ.

    References
    ----------
    Abdi & Nahavandi (2016), Multi-residual networks, arXiv:1609.05672
    """

    def __init__(self, branches: Sequence[nn.Module], *, norm: StepNorm | None = None) -> None:
        super().__init__()
        if not branches:
            raise ArgumentError("got no branches, expected one or more transforms")
        shapes = {_shape(branch) for branch in branches}
        if len(shapes) > 1:
            raise ArgumentError(
                f"got branches of {len(shapes)} shapes, expected one: the same state_dims, in_channels, out_channels, "
                "stride and takes_drive"
            )
        self.branches = nn.ModuleList(branches)
        self.norm = norm
        (shape,) = shapes
        self.state_dims, self.in_channels, self.out_channels, self.stride, self.takes_drive = shape

    def reset_parameters(self, rng: Rng = None) -> None:
        """Draw the weights of all branches anew, different from each other."""
        reset_children(self, rng)

    def initial_state(self, drive: Tensor) -> Tensor:
        """Return the state at rest, zeros, for a drive."""
        return cast("Transform", self.branches[0]).initial_state(drive)

    def forward(self, state: Tensor, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return the update for a state; a drive enters every branch that takes one."""
        total: Tensor = self.branches[0](state, drive, step)
        for branch in self.branches[1:]:
            total = total + branch(state, drive, step)
        return normalised(self.norm, total, step)


def _shape(branch: nn.Module) -> tuple[int, int, int, int, bool]:
    own = cast("Transform", branch)
    return own.state_dims, own.in_channels, own.out_channels, own.stride, own.takes_drive
