"""A function of several inputs as a table of its values, and how strongly groups of inputs interact in it: ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor

from cortexres.errors import ArgumentError

MOST_VALUES = 2**24
CHUNK = 2**16  # sequences that the network is given at once


@torch.no_grad()
def grid_tensor(network: Callable[[Tensor], Tensor], values: Tensor, n_inputs: int) -> np.ndarray:
    """Return what a network makes of all sequences of so many inputs, each of which takes each of some values.

    Of a network that is linear in every input, such as an arithmetic circuit, the table with a basis as the values is
    the network.

    Parameters
    ----------
    network : callable
        Inputs (batch, channel, input) -> outputs (batch, ...).
    values : Tensor of shape (value, channel)
        What an input can be.
    n_inputs : int
        Length N of a sequence.

    Returns
    -------
    ndarray of shape (output, value, ..., value)
        One dim of values for each input, after all outputs in one dim; in the network's own precision, at least
        single, which `matricisation_rank` needs to know.

    Raises
    ------
    ArgumentError
        If there are no values or no inputs, or more than 2 ** 24 sequences.

    References
    ----------
    Cohen, Tamari & Shashua (2018), Boosting dilated convolutional networks with mixed tensor decompositions,
    arXiv:1703.06846, equation 1
    """
    if values.ndim != 2 or not len(values) or n_inputs < 1:
        raise ArgumentError(
            f"got values of shape {tuple(values.shape)} and n_inputs={n_inputs}, expected (value, channel), and 1 or "
            "more inputs"
        )
    shape = (len(values),) * n_inputs
    total = len(values) ** n_inputs
    if total > MOST_VALUES:
        raise ArgumentError(f"got {total} sequences, expected {MOST_VALUES} or fewer: take fewer inputs or values")
    found = []
    for numbers in np.array_split(np.arange(total), -(-total // CHUNK)):
        chosen = torch.as_tensor(np.stack(np.unravel_index(numbers, shape), axis=1), device=values.device)
        found.append(_array(network(values[chosen].transpose(1, 2)).flatten(1)))
    whole = np.concatenate(found)
    tensor: np.ndarray = whole.T.reshape(whole.shape[1], *shape)
    return tensor


def matricised(tensor: np.ndarray, rows: Collection[int]) -> np.ndarray:
    """Return a tensor as a matrix: some of its dims, in order, number the rows, and the others the columns.

    Raises
    ------
    ArgumentError
        If a dim does not exist, there are none for the rows or none for the columns, or the tensor has no values.
    """
    if not tensor.size:
        raise ArgumentError(f"got a tensor of shape {tensor.shape}, expected one with values")
    chosen = sorted(set(rows))
    others = [dim for dim in range(tensor.ndim) if dim not in chosen]
    if not chosen or not others or not set(chosen) <= set(range(tensor.ndim)):
        raise ArgumentError(
            f"got rows={chosen} of a tensor with {tensor.ndim} dims, expected some of them, from 0, and not all"
        )
    return tensor.transpose([*chosen, *others]).reshape(math.prod(tensor.shape[dim] for dim in chosen), -1)


def matricisation_rank(tensor: np.ndarray, rows: Collection[int], *, tolerance: float | None = None) -> int:
    """Return the rank of a tensor as a matrix: how many products of a function of some inputs and one of the others.

    Rank 1 is a function in which the two groups do not interact but by a product.

    Parameters
    ----------
    tensor : ndarray
        One dim for each input, such as one output of `grid_tensor`.
    rows : collection of int
        The dims of the one group.
    tolerance : float, optional
        Singular values up to `tolerance` times the largest count as zero; by default the larger size of the matrix
        times the machine epsilon of the tensor's precision.

    Raises
    ------
    ArgumentError
        As `matricised`; or if a value is not finite, or `tolerance` is below 0.

    References
    ----------
    Cohen & Shashua (2017), Inductive bias of deep convolutional networks through pooling geometry, arXiv:1605.06743
    """
    matrix = matricised(tensor, rows)
    if not np.isfinite(matrix).all():
        raise ArgumentError("got a tensor with values that are not finite, expected numbers: these have no rank")
    if tolerance is not None and not tolerance >= 0:
        raise ArgumentError(f"got tolerance={tolerance}, expected 0 or more")
    own = matrix.dtype if np.issubdtype(matrix.dtype, np.inexact) else np.dtype(np.float64)
    relative = max(matrix.shape) * np.finfo(own).eps if tolerance is None else tolerance
    known = matrix.astype(np.result_type(own, np.float32))  # of half precision there is no decomposition
    singular = np.linalg.svd(known, compute_uv=False)
    return int((singular > relative * singular[0]).sum())


def _array(outputs: Tensor) -> np.ndarray:
    """Return outputs in their own precision, at least single."""
    values = outputs.cpu()
    return values.to(torch.promote_types(values.dtype, torch.float32)).numpy()
