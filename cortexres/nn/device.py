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
    refused = f"got device={str(device)!r}, expected one that torch can use here"
    try:
        found = torch.device(device)
        if found.type != "cuda":
            torch.empty(0, device=found)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise ArgumentError(f"{refused}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    # GPUs are counted, not tried: each of several processes would leave a context on the first.
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ArgumentError(f"{refused}: it sees {torch.cuda.device_count()} GPUs")
    return found
