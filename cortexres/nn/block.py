"""The residual block: identity shortcut plus transform."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """``h + F(h, u)``: what comes in is carried on unchanged, and the transform says only what to add.

    Parameters
    ----------
    transform : Module
        Maps (state, input), each (batch, unit), to the update, (batch, unit).

    References
    ----------
    He, Zhang, Ren & Sun (2016), Identity mappings in deep residual networks, doi:10.1007/978-3-319-46493-0_38
    """

    def __init__(self, transform: nn.Module) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the next state, (batch, unit)."""
        update: Tensor = self.transform(state, drive)
        return state + update
