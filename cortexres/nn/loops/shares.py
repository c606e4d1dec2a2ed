"""What a shortcut carries of the state and adds of F, as numbers, for loops that do not call it."""

from __future__ import annotations

from torch import Tensor, nn

from cortexres.nn.shortcuts import Identity, NoShortcut, Scaled, SoftAssignment

Share = float | Tensor


def why_not_shares(shortcut: nn.Module) -> str | None:
    """Return why a shortcut does not carry and add fixed shares; None where it does."""
    if type(shortcut) not in (Identity, NoShortcut, Scaled, SoftAssignment):
        return f"the shortcut {type(shortcut).__name__}"
    if isinstance(shortcut, SoftAssignment) and isinstance(shortcut.gamma, Tensor) and shortcut.gamma.requires_grad:
        return "a gamma that is learned"
    return None


def shares(shortcut: nn.Module, state: Tensor) -> tuple[Share | None, Share]:
    """Return (carried, added): numbers, or tensors of shape (channel,); None where nothing is carried.

    Parameters
    ----------
    shortcut : Module
        That `why_not_shares` says nothing against.
    state : Tensor of shape (batch, channel, ...)
        Its type and device are those of the shares, which are copies: a gamma that changes later changes no run.
    """
    if isinstance(shortcut, SoftAssignment):
        gamma = shortcut.gamma
        if isinstance(gamma, Tensor):  # one for all may be a tensor, too
            gamma = gamma.to(state, copy=True).expand(state.shape[1])
        return 1 - gamma, gamma
    if isinstance(shortcut, Scaled):
        return 1.0, shortcut.scale
    return (None if isinstance(shortcut, NoShortcut) else 1.0), 1.0


def is_one(share: Share | None) -> bool:
    """Return whether a share is the number 1, so that nothing needs to be multiplied."""
    return isinstance(share, float) and share == 1.0
