"""Which stimulus was shown, by the likelihood of spike counts under a network's rates: a readout without learning."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from cortexres.compare.choices import seeded
from cortexres.compare.pairing import along, float_values, paired
from cortexres.compare.windows import bin_width
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network

LEAST_COUNT = 1e-6  # expected spikes: a rate of 0 would make a single spike impossible
TIE = 1e-9  # relative difference of log likelihoods that is rounding


def likelihood_readout(brain: xr.Dataset, network: xr.Dataset, *, cells: ArrayLike) -> xr.Dataset:
    """Return how often the stimulus of a trial is the one whose network states explain one bin of its spikes best.

    The network's rates, averaged over the brain's bins, are taken for the means of independent Poisson counts. Each
    bin of each trial is given to the stimulus of the largest likelihood. Nothing is learned from the brain: every
    trial is one that the readout has not seen. A network that has the rates of a circuit reads it as well as these
    units allow, up to the correlations of its noise; one whose code moves in time does so at its own time only.

    Parameters
    ----------
    brain : Dataset
        Rates in Hz.
    network : Dataset
        States in Hz of the same stimuli and units, with ``t_ms``.
    cells : array_like of float
        How many cells are in each unit, (unit,), or one number for all: rates become spike counts.

    Returns
    -------
    Dataset
        ``accuracy`` (time, time_test): templates of the network at the first, counts of the brain at the second; the
        share of trials that is right, ties shared evenly; ``attrs["chance"]``. The axes are those of `generalise`.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or stimuli or units differ.
    ArgumentError
        If a side has no rates in Hz, or `cells` does not fit.
    """
    check_brain(brain)
    check_network(network)
    here, there = paired(brain, network)
    per_hz = _spikes_per_hz(here, cells)
    counts = float_values(_in_hz(here, "brain")) * per_hz
    means = _means(there, per_hz)
    right = np.stack([_right(counts, means[:, k]) for k in range(means.shape[1])])
    coords = along(here, "time")
    coords |= {f"{name}_test": xr.Variable(("time_test",), c.values, c.attrs) for name, c in coords.items()}
    text = "share of single bins of single trials that are given to the right stimulus"
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "n_stimuli": here.sizes["stimulus"],
        "chance": 1 / here.sizes["stimulus"],
        "classifier": "likelihood of independent Poisson counts at the network's rates",
        "measure": "accuracy",
        "orientation": "similarity",
        "cortexres_provenance": provenance(cells=np.broadcast_to(cells, per_hz.shape).tolist()),
    }
    return xr.Dataset({"accuracy": (("time", "time_test"), right, {"units": "1", "long_name": text})}, coords, attrs)


def poisson_trials(
    network: xr.Dataset,
    brain: xr.Dataset,
    *,
    cells: ArrayLike,
    trials: int,
    rng: int | np.random.Generator,
) -> xr.Dataset:
    """Return trials of a network as a brain Dataset: independent Poisson spikes of so many cells at its rates.

    What a readout makes of it is what the network's states say through as much spiking noise as such a circuit has,
    were its cells independent.

    Parameters
    ----------
    network, brain : Dataset
        As in `likelihood_readout`; of the brain only stimuli, units and bins are used.
    cells : array_like of float
        How many cells are in each unit, (unit,), or one number for all.
    trials : int
        How many of each stimulus.
    rng : int or Generator
        Draws the spikes.

    Returns
    -------
    Dataset
        ``response`` (stimulus, trial, time, unit) in Hz; seed, trials and cells are in its provenance.

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or stimuli or units differ.
    ArgumentError
        If `trials` is below 1, and as `likelihood_readout`.
    """
    check_brain(brain)
    check_network(network)
    if trials < 1:
        raise ArgumentError(f"got trials={trials}, expected 1 or more")
    here, there = paired(brain, network)
    per_hz = _spikes_per_hz(here, cells)
    means = _means(there, per_hz)
    size = (means.shape[0], trials, *means.shape[1:])
    seed, draw = seeded(rng)
    counts = draw.poisson(np.broadcast_to(means[:, None], size))
    coords = along(here, "stimulus", "time", "unit") | {"trial": np.arange(trials)}
    variable = (("stimulus", "trial", "time", "unit"), counts / per_hz, {"units": "Hz"})
    attrs = {
        "model": f"Poisson trials of {network.attrs.get('model', '')}",
        "cortexres_provenance": provenance(
            seed=seed, trials=trials, cells=np.broadcast_to(cells, per_hz.shape).tolist()
        ),
    }
    return xr.Dataset({"response": variable}, coords, attrs)


def _spikes_per_hz(brain: xr.Dataset, cells: ArrayLike) -> np.ndarray:
    """Return the spikes (unit,) that a rate of 1 Hz is in one bin of all cells of a unit."""
    number = np.asarray(cells, dtype=float)
    units = brain.sizes["unit"]
    if number.shape not in ((), (units,)) or not ((number > 0) & np.isfinite(number)).all():
        raise ArgumentError(
            f"got cells={number.tolist()}, expected one number above 0, or one for each of {units} units"
        )
    return np.broadcast_to(number * bin_width(brain) / 1000.0, (units,))


def _in_hz(data: xr.Dataset, side: str) -> xr.DataArray:
    unit = data["response"].attrs["units"]
    if unit != "Hz":
        raise ArgumentError(f"got a {side} in {unit!r}, expected rates in Hz: only those become spike counts")
    return data["response"]


def _means(network: xr.Dataset, per_hz: np.ndarray) -> np.ndarray:
    """Return the expected counts (stimulus, time, unit)."""
    means: np.ndarray = np.maximum(float_values(_in_hz(network, "network")) * per_hz, LEAST_COUNT)
    return means


def _right(counts: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the share (time,) of counts (stimulus, trial, time, unit) that fit their own means (stimulus, unit) best.

    The factorials of the counts are the same for all stimuli.
    """
    likelihoods = np.einsum("rntu,su->rnts", counts, np.log(means)) - means.sum(axis=1)
    largest = likelihoods.max(axis=-1, keepdims=True)
    best = likelihoods >= largest - TIE * np.abs(largest)
    own = np.einsum("rntr->rnt", best) / best.sum(axis=-1)
    share: np.ndarray = own.mean(axis=(0, 1))
    return share
