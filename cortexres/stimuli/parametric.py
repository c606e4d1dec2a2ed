"""Patterns made from parameters: gratings, bars and noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from cortexres.errors import ArgumentError

Made = tuple[np.ndarray, dict[str, np.ndarray]]
CYCLES = 2.5  # per image: the wave that the front ends like best
BAR_WIDTH = 0.125  # of the image


def patterns(
    n: int,
    *,
    size: int = 16,
    kind: str = "gratings",
    contrast: float = 1.0,
    rng: int | np.random.Generator,
) -> xr.Dataset:
    """Return `n` patterns about mid-grey, with what varies as coordinates.

    Parameters
    ----------
    n : int
        Number of patterns.
    size : int
        Height and width in pixels, 4 or more.
    kind : str
        ``"gratings"``: sine gratings at orientations evenly spaced over 180 degrees, at random phases;
        ``"bars"``: one light bar at such an orientation, at a random place;
        ``"noise"``: independent uniform pixels.
    contrast : float
        Michelson contrast, 0 (uniform mid-grey) to 1.
    rng : int or numpy.random.Generator
        Seed or generator of phases, places and pixels.

    Returns
    -------
    xarray.Dataset
        ``image`` (stimulus, y, x), 0..1; coordinates ``label``, ``contrast`` and, for gratings and bars,
        ``orientation_deg`` (of the stripes, anticlockwise from horizontal) with ``phase_deg`` or ``offset``
        (of the bar from the centre, in image widths).

    Raises
    ------
    ArgumentError
        For an unknown kind, or a number, size or contrast out of range.

    Examples
    --------
    >>> patterns(4, rng=0)["orientation_deg"].values.tolist()
    [0.0, 45.0, 90.0, 135.0]
    """
    if kind not in KINDS:
        raise ArgumentError(f"unknown kind of pattern {kind!r}, expected {' or '.join(KINDS)}")
    if n < 1 or size < 4:
        raise ArgumentError(f"got n={n} and size={size}, expected n of 1 or more and size of 4 or more")
    if not 0.0 <= contrast <= 1.0:
        raise ArgumentError(f"contrast is {contrast:g}, expected 0 to 1")
    waves, varied = KINDS[kind](n, size, np.random.default_rng(rng))
    coords: dict[str, object] = {
        "stimulus": np.arange(n),
        "label": ("stimulus", _labels(varied, n)),
        "contrast": ("stimulus", np.full(n, float(contrast))),
    }
    coords.update({name: ("stimulus", values) for name, values in varied.items()})
    # Rounding may leave the last digit outside 0..1.
    images = np.clip(0.5 + 0.5 * contrast * waves, 0.0, 1.0)
    return xr.Dataset(
        {"image": (("stimulus", "y", "x"), images, {"units": "1"})},
        coords,
        {"source": f"cortexres.stimuli.patterns, {kind}", "title": kind},
    )


def _labels(varied: dict[str, np.ndarray], n: int) -> np.ndarray:
    if "orientation_deg" in varied:
        return np.array([f"{degrees:g} deg" for degrees in varied["orientation_deg"]])
    return np.array([f"pattern {k}" for k in range(n)])


def _across(size: int, degrees: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel from the line through the centre, (pattern, y, x), in image widths."""
    y, x = np.mgrid[:size, :size].astype(float)
    x, y = (x + 0.5) / size - 0.5, 0.5 - (y + 0.5) / size  # rows run downwards
    angle = np.deg2rad(degrees)[:, None, None]
    return np.asarray(y * np.cos(angle) - x * np.sin(angle))


def _gratings(n: int, size: int, rng: np.random.Generator) -> Made:
    degrees, phase = 180.0 * np.arange(n) / n, rng.uniform(0.0, 360.0, n)
    waves = np.cos(2 * np.pi * CYCLES * _across(size, degrees) + np.deg2rad(phase)[:, None, None])
    return waves, {"orientation_deg": degrees, "phase_deg": phase}


def _bars(n: int, size: int, rng: np.random.Generator) -> Made:
    degrees, offset = 180.0 * np.arange(n) / n, rng.uniform(-0.25, 0.25, n)
    distance = _across(size, degrees) - offset[:, None, None]
    # A soft edge lets a bar move by less than a pixel.
    return 2.0 * np.exp(-0.5 * (2.0 * distance / BAR_WIDTH) ** 2) - 1.0, {"orientation_deg": degrees, "offset": offset}


def _noise(n: int, size: int, rng: np.random.Generator) -> Made:
    return rng.uniform(-1.0, 1.0, (n, size, size)), {}


KINDS: dict[str, Callable[[int, int, np.random.Generator], Made]] = {
    "gratings": _gratings,
    "bars": _bars,
    "noise": _noise,
}
