"""Front ends: an image becomes the input of each channel, the same for the circuit and for the network.

Both kinds read each image alone, in three steps:

1. receptive fields, whose size follows the image's (the same picture at another size drives much the same), give
   each channel k an amplitude D_k in units of contrast: 0 for a uniform image, about 1 for the pattern a field likes
   best at full contrast;
2. the channels are normalised by one another and saturate with contrast (Naka and Rushton 1966; Heeger 1992)::

       drive_k = gain * D_k^n / (c50^n + (sum_j D_j^m)^(n/m)),    n = 3, m = 12, c50 = 0.1

   so that 0 <= drive < gain, that drive rises with contrast, and that the pattern over channels keeps its shape.
   The large m makes the pool follow its strongest members: a picture with one orientation and one with several both
   drive their best channel near `gain`.

``"oriented_energy"``
    D_k is the root mean square, over the image, of the energy of quadrature Gabor filters (Adelson and Bergen 1985)
    at orientation 180 k / channels degrees, summed over one to three octaves. The phase and, for the most part, the
    place of a contour do not matter, its orientation and contrast do. Channels lie on a ring, as assemblies do.
``"random_fields"``
    D_k is the full-wave rectified output of one Gabor field of random place, size, orientation and phase, drawn
    from the front end's own seed.

References
----------
Adelson EH, Bergen JR (1985). J Opt Soc Am A 2:284. https://doi.org/10.1364/JOSAA.2.000284
Heeger DJ (1992). Vis Neurosci 9:181. https://doi.org/10.1017/S0952523800009640
Naka KI, Rushton WAH (1966). J Physiol 185:536. https://doi.org/10.1113/jphysiol.1966.sp008001
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import xarray as xr

from cortexres.definitions import FrontEnd
from cortexres.errors import ArgumentError
from cortexres.schema import check_stimuli

EXPONENT = 3.0
POOL_EXPONENT = 12.0
HALF_CONTRAST = 0.1
OCTAVES = 3
FINEST_WAVELENGTH = 3.0  # pixels; a shorter wave is not sampled well enough to have an orientation
COARSEST_WAVELENGTH = 0.4  # of the shorter side of the image
SMALLEST_IMAGE = 4  # pixels
SIGMA_PER_WAVELENGTH = 0.6
STILL_FRAME_MS = 1.0
WORKING_SIZE = 32  # pixels; the coarsest three octaves need no more, so larger images are averaged down to this


def drive(stimuli: xr.Dataset, front_end: FrontEnd, *, units: str = "mV") -> xr.DataArray:
    """Return the input that each still image gives to each channel, (stimulus, channel).

    Parameters
    ----------
    stimuli : xarray.Dataset
        ``image`` (stimulus, y, x), 0..1.
    front_end : FrontEnd
        Kind, number of channels, gain and, for random fields, seed.
    units : str
        ``"mV"``: mean input, up to the front end's `gain_mV`; ``"Hz"``: rate, up to its `gain_Hz`.

    Returns
    -------
    xarray.DataArray
        Values in [0, gain), with ``stimulus`` and its label as coordinates; for oriented energy also
        ``orientation_deg`` (channel).

    Raises
    ------
    ArgumentError
        For an unknown kind or unit, moving stimuli or images smaller than 4 x 4.
    SchemaError
        Where `stimuli` does not keep the schema.
    """
    gain = _gain(front_end, units)
    check_stimuli(stimuli)
    if "image" in stimuli and "frame" in stimuli["image"].dims:
        raise ArgumentError(
            "the stimuli move (they have a frame dim), and front ends take still images only; choose one frame with"
            " stimuli.isel(frame=0), or use front_ends.movie_drive"
        )
    values = gain * _amplitudes(stimuli, front_end)[:, 0]
    attrs, coords = _attributes(front_end, units), _coordinates(stimuli, front_end)
    return xr.DataArray(values, coords, ("stimulus", "channel"), name="drive", attrs=attrs)


def movie_drive(stimuli: xr.Dataset, front_end: FrontEnd, *, units: str = "mV") -> xr.DataArray:
    """Return the input that each frame of each stimulus gives to each channel, (stimulus, frame, channel).

    Parameters
    ----------
    stimuli : xarray.Dataset
        ``image`` (stimulus, y, x, frame), 0..1, with the duration of a frame in ``image.attrs["frame_ms"]`` or in a
        coordinate ``frame_ms``; still images count as one frame.
    front_end, units
        As in `drive`; every frame is read alone.

    Returns
    -------
    xarray.DataArray
        As from `drive`, with ``attrs["frame_ms"]``.

    Raises
    ------
    ArgumentError
        If the duration of a frame is missing or not one positive number, and as in `drive` but for movement.
    SchemaError
        Where `stimuli` does not keep the schema.
    """
    gain = _gain(front_end, units)
    check_stimuli(stimuli)
    values = gain * _amplitudes(stimuli, front_end)
    attrs = {**_attributes(front_end, units), "frame_ms": _frame_ms(stimuli)}
    coords = _coordinates(stimuli, front_end)
    return xr.DataArray(values, coords, ("stimulus", "frame", "channel"), name="drive", attrs=attrs)


def _gain(front_end: FrontEnd, units: str) -> float:
    _kind(front_end.kind)
    gains = {"mV": front_end.gain_mV, "Hz": front_end.gain_Hz}
    if units not in gains:
        raise ArgumentError(f"units are {units!r}, and a front end gives mV or Hz; make drives with stimuli.drives")
    return gains[units]


def _frame_ms(stimuli: xr.Dataset) -> float:
    """Return the duration of a frame; that of a still image does not matter, because its one frame holds."""
    if "frame" not in stimuli["image"].dims:
        return STILL_FRAME_MS
    widths = np.unique(stimuli["frame_ms"].values) if "frame_ms" in stimuli.coords else None
    width = stimuli["image"].attrs.get("frame_ms") if widths is None else widths[0] if widths.size == 1 else widths
    if not isinstance(width, int | float | np.number) or not 0 < width < np.inf:
        raise ArgumentError(
            f"the stimuli move, and the duration of a frame is {width!r}, expected one number above 0; set"
            ' stimuli["image"].attrs["frame_ms"]'
        )
    return float(width)


def _amplitudes(stimuli: xr.Dataset, front_end: FrontEnd) -> np.ndarray:
    """Return normalised amplitudes in [0, 1), (stimulus, frame, channel)."""
    if "image" not in stimuli:
        raise ArgumentError("the stimuli are drives already, and a front end takes images; use them without one")
    image = stimuli["image"] if "frame" in stimuli["image"].dims else stimuli["image"].expand_dims("frame")
    image = image.transpose("stimulus", "frame", "y", "x")
    count, frames, height, width = image.shape
    if min(height, width) < SMALLEST_IMAGE:
        raise ArgumentError(
            f"images are {height} x {width} pixels, expected at least {SMALLEST_IMAGE} x"
            f" {SMALLEST_IMAGE}: receptive fields do not fit smaller ones"
        )
    images = np.asarray(image.values, dtype=float).reshape(count * frames, height, width)
    amplitudes = _normalise(_kind(front_end.kind)(_shrink(images), front_end))
    return amplitudes.reshape(count, frames, front_end.channels)


def _coordinates(stimuli: xr.Dataset, front_end: FrontEnd) -> dict[str, object]:
    coords: dict[str, object] = {
        "stimulus": stimuli["stimulus"],
        "channel": np.arange(front_end.channels),
    }
    if "label" in stimuli.coords:
        coords["label"] = stimuli["label"]
    if front_end.kind == "oriented_energy":
        coords["orientation_deg"] = ("channel", orientations_deg(front_end.channels), {"units": "degree"})
    return coords


def _attributes(front_end: FrontEnd, units: str) -> dict[str, object]:
    name = "mean input" if units == "mV" else "rate"
    return {"units": units, "long_name": name, "front_end": json.dumps(asdict(front_end))}


def orientations_deg(channels: int) -> np.ndarray:
    """Return the preferred orientation of each channel: degrees anticlockwise from horizontal, 0 to below 180."""
    return 180.0 * np.arange(channels) / channels


def _kind(name: str) -> Callable[[np.ndarray, FrontEnd], np.ndarray]:
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "use one of them"
        raise ArgumentError(f"unknown front end {name!r}, expected {' or '.join(KINDS)}; {hint}")
    return KINDS[name]


def _shrink(images: np.ndarray) -> np.ndarray:
    """Return the images averaged over square blocks, so that the shorter side is below twice `WORKING_SIZE`."""
    _, height, width = images.shape
    block = max(1, min(height, width) // WORKING_SIZE)
    rows, columns = height // block, width // block
    top, left = (height - rows * block) // 2, (width - columns * block) // 2
    cut = images[:, top : top + rows * block, left : left + columns * block]
    return np.asarray(cut.reshape(-1, rows, block, columns, block).mean(axis=(2, 4)))


def _normalise(amplitudes: np.ndarray) -> np.ndarray:
    """Return amplitudes (stimulus, channel) normalised over channels, in [0, 1)."""
    pool = (amplitudes**POOL_EXPONENT).sum(axis=1, keepdims=True) ** (EXPONENT / POOL_EXPONENT)
    return np.asarray(amplitudes**EXPONENT / (HALF_CONTRAST**EXPONENT + pool))


def _oriented_energy(images: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Return the root mean square contrast energy per orientation, (stimulus, channel)."""
    energy = np.zeros((len(images), front_end.channels))
    wavelength = max(COARSEST_WAVELENGTH * min(images.shape[1:]), FINEST_WAVELENGTH)
    for _ in range(OCTAVES):
        energy += _energy_at(images, wavelength, front_end.channels)
        wavelength /= 2.0
        if wavelength < FINEST_WAVELENGTH:
            break
    return np.sqrt(energy)


def _energy_at(images: np.ndarray, wavelength: float, channels: int) -> np.ndarray:
    radius = int(np.ceil(2.5 * SIGMA_PER_WAVELENGTH * wavelength))
    padded = np.pad(_without_border(images), ((0, 0), (radius, radius), (radius, radius)))
    shape = padded.shape[1:]
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
    kernels = np.zeros((channels, *shape), dtype=complex)
    for k, degrees in enumerate(orientations_deg(channels)):
        sigma = SIGMA_PER_WAVELENGTH * wavelength
        kernels[k, : 2 * radius + 1, : 2 * radius + 1] = _gabor(x, -y, sigma, wavelength, np.deg2rad(degrees))
    spectra = np.fft.fft2(kernels)
    energy = np.empty((len(images), channels))
    batch = max(1, 2**20 // (shape[0] * shape[1]))
    for start in range(0, len(images), batch):
        spectrum = np.fft.fft2(padded[start : start + batch])
        for k in range(channels):
            filtered = np.fft.ifft2(spectrum * spectra[k])[:, 2 * radius :, 2 * radius :]
            energy[start : start + batch, k] = (filtered.real**2 + filtered.imag**2).mean(axis=(1, 2))
    return energy


def _without_border(images: np.ndarray) -> np.ndarray:
    """Return the images less the mean of their border, so that what lies outside (0) is no contour.

    Repeating the edge pixels instead would prolong each stroke that touches the border, and with it the orientations
    across the border.
    """
    rows, columns = images[:, [0, -1], :], images[:, 1:-1, [0, -1]]
    border = np.concatenate([rows.reshape(len(images), -1), columns.reshape(len(images), -1)], axis=1)
    return np.asarray(images - border.mean(axis=1)[:, None, None])


def _gabor(x: np.ndarray, y: np.ndarray, sigma: float, wavelength: float, orientation: float) -> np.ndarray:
    """Return a complex Gabor filter blind to uniform light, of output 1 to its own grating at full contrast."""
    window = np.exp(-(x**2 + y**2) / (2.0 * sigma**2))
    across = y * np.cos(orientation) - x * np.sin(orientation)
    wave = np.exp(2j * np.pi * across / wavelength)
    wave = wave - (window * wave).sum() / window.sum()
    return np.asarray(window * wave * (4.0 / window.sum()))


def _random_fields(images: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Return the rectified outputs of random Gabor fields, (stimulus, channel)."""
    _, height, width = images.shape
    rng = np.random.default_rng(front_end.seed)
    # Places and sizes are fractions of the image, so that a field sees the same part of a picture at any size.
    y, x = np.mgrid[:height, :width].astype(float)
    y, x = (y + 0.5) / height, (x + 0.5) / width
    amplitudes = np.empty((len(images), front_end.channels))
    for k in range(front_end.channels):
        row, column = rng.uniform(0.35, 0.65, size=2)
        wavelength, sigma = rng.uniform(0.35, 0.5), rng.uniform(0.2, 0.3)
        orientation, phase = rng.uniform(0.0, np.pi), rng.uniform(0.0, 2.0 * np.pi)
        field = _gabor(x - column, row - y, sigma, wavelength, orientation)
        outputs = images.reshape(len(images), -1) @ (np.exp(1j * phase) * field).real.ravel()
        # Both signs count, as they do for energy: half of all fields would else be silent for light on dark.
        amplitudes[:, k] = np.abs(outputs)
    return amplitudes


KINDS: dict[str, Callable[[np.ndarray, FrontEnd], np.ndarray]] = {
    "oriented_energy": _oriented_energy,
    "random_fields": _random_fields,
}
