"""Spikes and currents into the time bins of the brain Dataset; one function each, used for all that is recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortexres.circuits.runs import Spikes
from cortexres.definitions import Circuit
from cortexres.errors import ArgumentError


class Bins:
    """Equal bins from stimulus onset to the end of a run, in whole steps of the clock.

    Raises
    ------
    ArgumentError
        If the duration is not a whole number of bins, or a bin or the settling time not one of steps.
    """

    def __init__(self, *, settle_ms: float, duration_ms: float, bin_ms: float, dt_ms: float) -> None:
        self.steps_per_bin = _whole(bin_ms / dt_ms, f"bin_ms is {bin_ms:g}, expected a multiple of dt = {dt_ms:g} ms")
        self.count = _whole(
            duration_ms / bin_ms,
            f"duration_ms is {duration_ms:g}, expected a multiple of bin_ms = {bin_ms:g}",
        )
        self.first_step = _whole(
            settle_ms / dt_ms,
            f"settle_ms is {settle_ms:g}, expected a multiple of dt = {dt_ms:g} ms",
            least=0,
        )
        self.bin_ms = bin_ms

    @property
    def n_steps(self) -> int:
        """Steps of a whole run, settling included."""
        return self.first_step + self.count * self.steps_per_bin

    def centres_ms(self) -> NDArray[np.float64]:
        """Bin centres in ms, from stimulus onset."""
        return np.asarray((np.arange(self.count) + 0.5) * self.bin_ms, dtype=np.float64)

    def average(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over each bin of an array (..., row, unit) that covers the whole run: (..., bin, unit).

        A row is a step, or a sample of every so many steps, which bins and settling time are made of.
        """
        every = self.n_steps // rows.shape[-2]
        after = rows[..., self.first_step // every :, :]
        shape = (*after.shape[:-2], self.count, self.steps_per_bin // every, after.shape[-1])
        averaged: NDArray[np.float64] = after.reshape(shape).mean(axis=-2)
        return averaged


def bin_spikes(spikes: Spikes, circuit: Circuit, bins: Bins) -> NDArray[np.float64]:
    """The mean rate of the cells of each unit in each bin, in Hz: (`time`, `unit`)."""
    columns = []
    for population in circuit.populations:
        cell, step = spikes.cell[population.name], spikes.step[population.name] - bins.first_step
        inside = (step >= 0) & (step < bins.count * bins.steps_per_bin)
        index = (step[inside] // bins.steps_per_bin) * population.assemblies + cell[inside] // population.size
        counts = np.bincount(index, minlength=bins.count * population.assemblies)
        columns.append(counts.reshape(bins.count, population.assemblies) / (population.size * bins.bin_ms * 1e-3))
    return np.concatenate(columns, axis=1)


def _whole(ratio: float, problem: str, *, least: int = 1) -> int:
    if not np.isfinite(ratio) or abs(ratio - round(ratio)) > 1e-6 or round(ratio) < least:
        raise ArgumentError(f"{problem} and at least {least} of them")
    return round(ratio)
