"""How a result is written into a register: in place of what was there, or blended with it."""

from __future__ import annotations

import numpy as np

from cortexres.errors import ArgumentError


def assigned(old: np.ndarray, result: np.ndarray, gamma: float) -> np.ndarray:
    """Return ``(1 - gamma) old + gamma result``, what a register holds after an assignment.

    At ``gamma = 1`` this is the assignment of ordinary programs, and the result itself, not a copy, is returned. Below,
    it is the Euler step of ``tau dr/dt = -r + result`` with ``gamma = dt / tau``, the update of
    `cortexres.nn.SoftAssignment`.

    References
    ----------
    McPhee & Poli (2008), Memory with memory: soft assignment in genetic programming, doi:10.1145/1389095.1389328
    """
    if gamma == 1.0:  # not by arithmetic: 0 times an infinite old value is not a number
        return result
    return (1 - gamma) * old + gamma * result


def check_gamma(gamma: float) -> None:
    """Check a share of the result in what a register holds after an assignment.

    Raises
    ------
    ArgumentError
        If it is not above 0 and at most 1.
    """
    if not 0 < gamma <= 1:
        raise ArgumentError(f"got gamma={gamma}, expected a number above 0 and at most 1; 1 is hard assignment")
