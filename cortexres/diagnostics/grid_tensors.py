"""A function of several inputs as a table of its values, and how strongly groups of inputs interact in it: ranks."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor

from cortexres.diagnostics.datasets import array
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
        One dim of values for each input, after all outputs in one dim.

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
        found.append(array(network(values[chosen].transpose(1, 2)).flatten(1)))
    tensor: np.ndarray = np.concatenate(found).T.reshape(-1, *shape)
    return tensor


def matricised(tensor: np.ndarray, rows: Collection[int]) -> np.ndarray:
    """Return a tensor as a matrix: some of its dims, in order, number the rows, and the others the columns.

    Raises
    ------
    ArgumentError
        If a dim does not exist, or there are none for the rows or none for the columns.
    """
    chosen = sorted(set(rows))
    others = [dim for dim in range(tensor.ndim) if dim not in chosen]
    if not chosen or not others or not set(chosen) <= set(range(tensor.ndim)):
        raise ArgumentError(
            f"got rows={chosen} of a tensor with {tensor.ndim} dims, expected some of them, from 0, and not all"
        )
    return tensor.transpose([*chosen, *others]).reshape(int(np.prod([tensor.shape[dim] for dim in chosen])), -1)


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
        times the machine epsilon.

    Raises
    ------
    ArgumentError
        As `matricised`.

    References
    ----------
    Cohen & Shashua (2017), Inductive bias of deep convolutional networks through pooling geometry, arXiv:1605.06743
    """
    matrix = matricised(tensor, rows)
    relative = max(matrix.shape) * np.finfo(np.float64).eps if tolerance is None else tolerance
    singular = np.linalg.svd(matrix, compute_uv=False)
    return int((singular > relative * singular[0]).sum())
