"""Jacobians from state to state: their spectra at each step, and those of their product along the depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.autograd import functional

from cortexres.diagnostics.datasets import array, attributes, blocks, numbers, seen, variable
from cortexres.diagnostics.held_statistics import chain_of_independent_inputs
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained

LARGEST = 4096
"""Largest number of units for which Jacobians are computed in full: 128 MiB each, in double precision."""


def jacobian_spectra(network: Chained | Chain, inputs: Tensor | xr.Dataset) -> xr.Dataset:
    """Return eigenvalues and singular values of the Jacobian of each step, and of the product of all steps so far.

    The Jacobian of step k is the derivative of the state after it with respect to the state before it, on the way
    that each input takes, with its drive held. States of several dims are flattened.

    Parameters
    ----------
    network : network with `chain()` or Chain
        It is left as it is. In training mode the statistics of the batch normalise, held constant.
    inputs : Tensor of shape (batch, ...) or Dataset
        What the network takes, or stimuli.

    Returns
    -------
    xarray.Dataset
        ``singular_value``, ``eigenvalue_real``, ``eigenvalue_imag`` (stimulus, block, rank), of step k, eigenvalues
        by falling modulus; ``product_log_singular_value``, ``product_log_eigenvalue`` (stimulus, block, rank), natural
        logarithms of the singular values, and of the moduli of the eigenvalues, of the product of steps 1 to k. NaN
        where there is no such value: no eigenvalues of a step between states of different sizes, fewer singular
        values there, and logarithms of what a product in double precision does not resolve (below the number of
        units times its epsilon times the largest).

    Raises
    ------
    ArgumentError
        If a state has more than 4096 units, a state or Jacobian is not finite, there are no steps, or a chain without
        its network uses batch statistics.

    References
    ----------
    Pennington, Schoenholz & Ganguli (2017), Resurrecting the sigmoid in deep learning through dynamical isometry,
    arXiv:1711.04735
    """
    tensors = seen(network, inputs)
    chain, statistics = chain_of_independent_inputs(network)
    rows, product = [], None
    for jacobian in _jacobians(chain, tensors):
        product = _scaled(jacobian) if product is None else _extended(product, jacobian)
        rows.append((*_spectrum(jacobian), *_log_spectrum(product)))
    width = max(values.shape[1] for row in rows for values in row)
    stacked = [np.stack([_padded(values, width) for values in column], axis=1) for column in zip(*rows, strict=True)]
    singular, eigenvalues, log_singular, log_eigenvalues = stacked
    dims = ("stimulus", "block", "rank")
    shape, unresolved = "the step changes the size of the state", "not resolved in double precision, or size changes"
    return xr.Dataset(
        {
            "singular_value": variable(dims, singular, "singular value of a step's Jacobian", undefined=shape),
            "eigenvalue_real": variable(dims, eigenvalues.real, "real part of its eigenvalue", undefined=shape),
            "eigenvalue_imag": variable(dims, eigenvalues.imag, "imaginary part of its eigenvalue", undefined=shape),
            "product_log_singular_value": variable(
                dims,
                log_singular,
                "natural logarithm of the singular value of the product of all steps so far",
                units="nat",
                undefined=unresolved,
            ),
            "product_log_eigenvalue": variable(
                dims,
                log_eigenvalues,
                "natural logarithm of the modulus of its eigenvalue",
                units="nat",
                undefined=unresolved,
            ),
        },
        coords={"stimulus": numbers(inputs), "rank": np.arange(width), **blocks(chain)},
        attrs=attributes(network, batch_statistics=statistics, n_stimuli=len(tensors)),
    )


def state_jacobian(step: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    """Return the Jacobians, (batch, unit after, unit before), of a step in which inputs do not mix.

    Raises
    ------
    ArgumentError
        If a state has more than 4096 units.
    """
    units = states[0].numel()
    if units > LARGEST:
        raise ArgumentError(
            f"got states of {units} units, expected at most {LARGEST}: their Jacobians are computed in full; give "
            "smaller inputs, or lyapunov_exponents with n_exponents"
        )
    # inputs do not mix, so that the derivative of the sum over the batch has each one's own
    total: Tensor = functional.jacobian(lambda s: step(s).flatten(1).sum(dim=0), states, vectorize=True)  # type: ignore[no-untyped-call]
    return total.flatten(2).movedim(1, 0)


def _jacobians(chain: Chain, inputs: Tensor) -> Iterator[Tensor]:
    """Yield the Jacobians of each step, (batch, unit after, unit before), in double precision on the CPU."""
    with torch.no_grad():
        state, drive = chain.enter(inputs)
        for step in chain.steps:
            with torch.enable_grad():
                jacobian = state_jacobian(lambda s, step=step: step(s, drive), state)  # type: ignore[misc]
            if not torch.isfinite(jacobian).all():
                raise ArgumentError(f"got a Jacobian that is not finite at {step.name}, expected finite states")
            yield jacobian.detach().cpu().double()
            state = step(state, drive)


class _Product(NamedTuple):
    """The product of Jacobians, (batch, unit, unit), scaled to norm 1, and the logarithm of its norm, (batch,)."""

    matrix: Tensor
    log_norm: Tensor


def _scaled(matrix: Tensor) -> _Product:
    norm = torch.linalg.matrix_norm(matrix)
    return _Product(matrix / norm.clamp(min=torch.finfo(norm.dtype).tiny)[:, None, None], norm.log())


def _extended(product: _Product, jacobian: Tensor) -> _Product:
    """Return the product with the Jacobian of one step more."""
    matrix, log_norm = _scaled(jacobian @ product.matrix)
    return _Product(matrix, product.log_norm + log_norm)


def _log_spectrum(product: _Product) -> tuple[np.ndarray, np.ndarray]:
    """Return logarithms of the singular values, and of the moduli of the eigenvalues, (batch, rank)."""
    singular, eigenvalues = _spectrum(product.matrix)
    floor = max(product.matrix.shape[1:]) * np.finfo(np.float64).eps * singular[:, :1]
    return _log(singular, floor, product.log_norm), _log(np.abs(eigenvalues), floor, product.log_norm)


def _log(values: np.ndarray, floor: np.ndarray, log_norm: Tensor) -> np.ndarray:
    """Return logarithms of what lies above the floor, NaN elsewhere."""
    resolved = values > floor
    return np.where(resolved, np.log(np.where(resolved, values, 1.0)) + array(log_norm)[:, None], np.nan)


def _spectrum(matrices: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return singular values and eigenvalues, (batch, rank), by falling modulus; no eigenvalues unless square."""
    singular = array(torch.linalg.svdvals(matrices))
    if matrices.shape[1] != matrices.shape[2]:
        return singular, singular[:, :0]
    eigenvalues = array(torch.linalg.eigvals(matrices))
    order = np.argsort(-np.abs(eigenvalues), axis=1, kind="stable")
    return singular, np.take_along_axis(eigenvalues, order, axis=1)


def _padded(values: np.ndarray, width: int) -> np.ndarray:
    """Return values (batch, rank) filled up with NaN."""
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=np.nan)
