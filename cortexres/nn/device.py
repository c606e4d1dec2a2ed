"""Whether torch can compute on a device, before anything is brought there."""

from __future__ import annotations

import torch

from cortexres.errors import ArgumentError


def usable_device(device: torch.device | str) -> torch.device:
    """Return a device on which torch can compute here.

    Raises
    ------
    ArgumentError
        If there is none of this name, or this torch was built without it.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    # Without CUDA torch ends in an AssertionError, with another fault of a device in one of these.
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArgumentError(f"got device={str(device)!r}, expected one that torch can use here: {reason}") from error
    return found
