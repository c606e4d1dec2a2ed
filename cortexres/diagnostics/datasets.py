"""From tensors on any device to a Dataset that says what its numbers are and where they come from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain
from cortexres.nn.inputs import inputs_of
from cortexres.provenance import provenance


def array(tensor: Tensor) -> np.ndarray:
    """Return the values of a tensor in double precision; numpy has no bfloat16."""
    values = tensor.detach().cpu()
    return values.to(torch.complex128 if values.is_complex() else torch.float64).numpy()


def variable(
    dims: Hashable | Sequence[Hashable], values: object, meaning: str, *, units: str = "1", undefined: str = ""
) -> xr.Variable:
    """Return a variable with its meaning, its units and, where it has NaN, why."""
    attrs = {"units": units, "long_name": meaning}
    return xr.Variable(dims, values, {**attrs, "undefined": undefined} if undefined else attrs)


def blocks(chain: Chain, *, states: bool = False) -> dict[str, xr.Variable]:
    """Return coordinates of the steps: block k, from 1, makes state k; with `states`, block 0 is before any."""
    names = ["start"] * states + [step.name for step in chain.steps]
    stages = [chain.steps[0].stage] * states + [step.stage for step in chain.steps]
    numbers = np.arange(0 if states else 1, len(chain.steps) + 1)
    return {
        "block": variable("block", numbers, "number of blocks up to the state"),
        "name": xr.Variable("block", names, {"long_name": "where the block is in the network"}),
        "stage": variable("block", stages, "stage of the network"),
    }


def attributes(network: object, **facts: str | float) -> dict[str, str | float]:
    """Return the attributes of a result: the network's name, the facts, and what made it."""
    name = str(getattr(network, "name", type(network).__name__))
    return {"model": name, **facts, "cortexres_provenance": provenance(model=name, **facts)}


def seen(network: object, inputs: Tensor | xr.Dataset) -> Tensor:
    """Return the inputs of a network, (stimulus, ...), from themselves or from stimuli.

    Raises
    ------
    ArgumentError
        If there are none.
    """
    values = inputs_of(network, inputs) if isinstance(inputs, xr.Dataset) else inputs
    if not len(values):
        raise ArgumentError("got no stimuli, expected one or more")
    return values


def numbers(inputs: Tensor | xr.Dataset) -> np.ndarray:
    """Return the numbers of the inputs: those that stimuli have, or from 0."""
    return inputs["stimulus"].to_numpy() if isinstance(inputs, xr.Dataset) else np.arange(len(inputs))
