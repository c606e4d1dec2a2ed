"""Whether torch can compute on a device, before anything is brought there, and the time that it takes there."""

from __future__ import annotations

import time

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


def clock(device: torch.device | str) -> float:
    """Return seconds to take differences of: of the process on a CPU, where others run beside; on a GPU of the wall.

    A GPU is waited for, until all that was started there is done.
    """
    if torch.device(device).type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
