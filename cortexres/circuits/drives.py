"""Any stimuli -> what the channels of a circuit's drive receive, frame by frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cortexres import front_ends
from cortexres.definitions import Circuit, driven_units
from cortexres.definitions.models import NEURONS
from cortexres.errors import ArgumentError
from cortexres.schema import check_stimuli


class DriveFrames(NamedTuple):
    """The drive of every stimulus.

    Attributes
    ----------
    ids, labels : array (stimulus,)
        Ids and labels of the stimuli.
    values : array (stimulus, frame, channel)
        In the unit of the circuit's drive; the first frame starts with the stimulus, the last one holds.
    frame_ms : float
        Duration of a frame, a whole number of steps of the circuit's clock where there are several.
    """

    ids: NDArray[np.int64]
    labels: NDArray[Any]
    values: NDArray[np.float64]
    frame_ms: float


def drive_unit(circuit: Circuit) -> str:
    """The unit in which a circuit takes its drive; ``"1"`` where it takes none."""
    if circuit.drive is None:
        return "1"
    if circuit.drive.onto != "mean_input":
        return "Hz"
    model = NEURONS[circuit.population(circuit.drive.targets[0]).neuron]
    return model.drive_unit or model.unit


def drive_frames(circuit: Circuit, stimuli: xr.Dataset | None) -> DriveFrames:
    """The drive that `stimuli` give to a circuit.

    Parameters
    ----------
    circuit : Circuit
        What is driven.
    stimuli : Dataset or None
        Images or moving images, which pass through the circuit's front end; drives (see `stimuli.drives`), which are
        taken as they are; None for one blank stimulus (id 0), which drives nothing.

    Raises
    ------
    SchemaError
        If `stimuli` does not keep the schema.
    ArgumentError
        If the circuit takes no stimuli, or none of this kind, or the drive has other channels, units or frames than
        it can take.
    """
    if stimuli is None:
        channels = driven_units(circuit).shape[1]
        return DriveFrames(np.zeros(1, dtype=np.int64), np.array(["blank"]), np.zeros((1, 1, channels)), circuit.dt_ms)
    check_stimuli(stimuli)
    if circuit.drive is None:
        raise ArgumentError(
            f"circuit {circuit.name} has no drive, so it takes no stimuli; give None for its spontaneous activity, or"
            " add [drive] to its definition"
        )
    drive = _given(circuit, stimuli) if "drive" in stimuli else _seen(circuit, stimuli)
    frame_ms = float(drive.attrs["frame_ms"])
    steps = frame_ms / circuit.dt_ms
    if drive.sizes["frame"] > 1 and (round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * steps):
        raise ArgumentError(
            f"frame_ms is {frame_ms:g}, expected a multiple of dt = {circuit.dt_ms:g} ms of circuit {circuit.name}"
        )
    if circuit.drive.onto == "background" and float(drive.min()) < 0.0:
        raise ArgumentError(
            f"the drive goes down to {float(drive.min()):g} Hz, expected 0 or more: circuit {circuit.name} adds it to a"
            " background, of which spikes cannot be taken away; define a background of a lower rate instead"
        )
    ids = np.asarray(stimuli["stimulus"].values, dtype=np.int64)
    labels = stimuli["label"].values if "label" in stimuli.coords else ids.astype(str)
    return DriveFrames(ids, labels, np.asarray(drive.values, dtype=np.float64), frame_ms)


def _given(circuit: Circuit, stimuli: xr.Dataset) -> xr.DataArray:
    """The drive of stimuli that are drives."""
    drive, channels, unit = stimuli["drive"], driven_units(circuit).shape[1], drive_unit(circuit)
    if drive.sizes["channel"] != channels:
        raise ArgumentError(
            f"the drive has {drive.sizes['channel']} channels, expected {channels}, one per assembly of"
            f" {circuit.drive.targets[0] if circuit.drive else ''} in circuit {circuit.name}"
        )
    if drive.attrs["units"] != unit:
        raise ArgumentError(
            f"the drive is in {drive.attrs['units']}, and circuit {circuit.name} takes {unit}; convert it"
        )
    return drive


def _seen(circuit: Circuit, stimuli: xr.Dataset) -> xr.DataArray:
    """The drive of images, through the circuit's front end."""
    unit, front_end = drive_unit(circuit), None if circuit.drive is None else circuit.drive.front_end
    if front_end is None:
        raise ArgumentError(
            f"circuit {circuit.name} has no front end, so it takes no images; make drives in {unit} with stimuli.steps"
        )
    gains = {"mV": front_end.gain_mV, "Hz": front_end.gain_Hz}
    if any(gains.values()) and not gains.get(unit, 1.0):
        raise ArgumentError(f"the drive of {circuit.name} is in {unit}, and its front end has no gain_{unit}; set it")
    return front_ends.movie_drive(stimuli, front_end, units=unit)
