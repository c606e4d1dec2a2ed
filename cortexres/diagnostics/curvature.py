"""Curvature of the loss at a point: eigenvalues of its Hessian in the parameters, and their condition number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import xarray as xr
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn
from torch.autograd.functional import hessian, vhp
from torch.nn.functional import cross_entropy

from cortexres.diagnostics.datasets import array, attributes, seen, variable
from cortexres.diagnostics.parameter_loss import Loss, loss_of_parameters, trainable
from cortexres.diagnostics.task import labels_of
from cortexres.errors import ArgumentError
from cortexres.nn.initial import Rng, normal_

Method = Literal["auto", "exact", "lanczos"]
EXACT_UP_TO = 1000
"""Number of parameters up to which ``method="auto"`` computes the whole Hessian."""
RESIDUAL = 1e-6
"""What Lanczos iteration leaves of ``|H v - lambda v|``, over the largest modulus; isolated ones err by its square."""
RESTARTS = 1000
"""How often Lanczos iteration starts again, ten products or so each, before it is given up."""


def hessian_spectrum(
    network: nn.Module,
    inputs: Tensor | xr.Dataset,
    labels: Tensor | None = None,
    *,
    loss: Loss = cross_entropy,
    method: Method = "auto",
    n_eigenvalues: int = 20,
    tolerance: float | None = None,
    rng: Rng = None,
) -> xr.Dataset:
    """Return the eigenvalues of the Hessian of the loss in the network's trainable parameters, where they are now.

    Weights that steps share count once: the Hessian of a tied network is that in the shared block.

    Parameters
    ----------
    network : Module
        Any; it is left as it is. In training mode, batch normalisation uses the statistics of `inputs`.
    inputs : Tensor or Dataset
        What the network takes, or stimuli.
    labels : Tensor, optional
        What the loss compares the network's output with. The classes of the Dataset, numbered in sorted order, where
        they are left out.
    loss : callable
        (what the network returns, labels) -> one number; cross entropy by default.
    method : {"auto", "exact", "lanczos"}
        The whole Hessian by double backward, and all its eigenvalues; or Lanczos iteration with Hessian-vector
        products, and `n_eigenvalues` from both ends of the spectrum. ``"auto"``: exact up to 1000 parameters.
    n_eigenvalues : int
        How many eigenvalues Lanczos finds, half of them from each end.
    tolerance : float, optional
        Eigenvalues of a modulus up to `tolerance` times the largest count as zero; by default the number of
        parameters times the machine epsilon of their dtype.
    rng : int or numpy Generator, optional
        Draws the vector that Lanczos starts from.

    Returns
    -------
    xarray.Dataset
        ``eigenvalue (rank)``, the largest first; ``lambda_max`` and ``lambda_min``; ``condition_number``, the
        largest modulus over the smallest that is not zero; ``n_zero``, ``n_negative``; ``loss`` and
        ``gradient_norm`` at the point. Lanczos does not see the middle of the spectrum: the condition number and
        the counts are then NaN. Attributes ``method``, ``n_parameters`` and ``tolerance``.

    Raises
    ------
    ArgumentError
        If labels are missing, there is nothing to differentiate, the loss is not one finite number that the
        parameters determine, an option is out of range, or Lanczos does not converge.

    Notes
    -----
    A residual network of linear blocks of depth 2 at weights 0 has the eigenvalues ± the singular values of the
    gradient with respect to the network's map, whatever its depth (Li et al.). With a map of three dimensions and a
    rotation as the target, that gradient is singular (a rotation in odd dimension has an axis): the zeros are
    counted, and the condition number is that of the others.

    References
    ----------
    Li, Jiao, Han & Weissman (2016), Demystifying ResNet, arXiv:1611.01186
    """
    _check_options(method, n_eigenvalues, tolerance)
    parameters = trainable(network)
    tensors = seen(network, inputs)
    point = _Point.of(loss_of_parameters(network, tensors, labels_of(inputs, labels), loss), parameters)
    size = len(point.vector)
    if method == "auto":
        method = "exact" if size <= EXACT_UP_TO else "lanczos"
    epsilon = torch.finfo(point.vector.dtype).eps
    relative = size * epsilon if tolerance is None else tolerance
    if method == "exact":
        values = np.linalg.eigvalsh(array(hessian(point.loss, point.vector)))[::-1]  # type: ignore[no-untyped-call]
    else:
        values = _lanczos(point, n_eigenvalues, rng)
    result = _dataset(point, values, exact=method == "exact", tolerance=relative)
    return result.assign_attrs(attributes(network, method=method, n_parameters=size, tolerance=relative))


class _Point(NamedTuple):
    """The loss as a function of one vector, and the vector where it is looked at."""

    loss: Callable[[Tensor], Tensor]
    vector: Tensor

    @classmethod
    def of(cls, loss: Callable[[dict[str, Tensor]], Tensor], parameters: dict[str, Tensor]) -> _Point:
        """Return the point at which the network is."""
        sizes = [value.numel() for value in parameters.values()]

        def of_vector(vector: Tensor) -> Tensor:
            parts = zip(parameters.items(), torch.split(vector, sizes), strict=True)
            return loss({name: part.view_as(value) for (name, value), part in parts})

        return cls(of_vector, torch.cat([value.flatten() for value in parameters.values()]))


def _lanczos(point: _Point, count: int, rng: Rng) -> np.ndarray:
    """Return `count` eigenvalues from both ends of the spectrum, the largest first."""
    vector = point.vector
    if count >= len(vector):
        raise ArgumentError(
            f"got n_eigenvalues={count} of {len(vector)} parameters, expected fewer; or use method='exact'"
        )

    def product(direction: np.ndarray) -> np.ndarray:
        along = torch.as_tensor(direction.reshape(-1), dtype=vector.dtype, device=vector.device)
        return array(vhp(point.loss, vector, along)[1])  # type: ignore[no-untyped-call]

    start = array(normal_(torch.empty_like(vector), 1.0, rng))
    if not product(start).any():
        return np.zeros(count)  # ARPACK takes a product of zero for a start of zero

    def extremes(of: Callable[[np.ndarray], np.ndarray], **options: Any) -> np.ndarray:
        operator = LinearOperator((len(vector), len(vector)), matvec=of, dtype=np.float64)
        values: np.ndarray = eigsh(operator, v0=start, return_eigenvectors=False, **options)
        return values

    # products in single precision are noisy: near its epsilon there is nothing to converge to
    tolerance = max(RESIDUAL, 10 * torch.finfo(vector.dtype).eps)
    try:
        # ARPACK converges relative to each eigenvalue, and would never be content with one near zero, of which an
        # overparametrised network has many: all are lifted by twice the largest modulus
        lift = 2 * np.abs(extremes(product, k=1, which="LM", tol=0.1, maxiter=RESTARTS)).max()
        above_zero = extremes(
            lambda v: product(v) + lift * v.reshape(-1), k=count, which="BE", tol=tolerance, maxiter=RESTARTS
        )
    except ArpackNoConvergence as error:
        raise ArgumentError(
            f"got no convergence of Lanczos iteration to {count} eigenvalues, expected some: give fewer or more "
            "n_eigenvalues, or float64"
        ) from error
    return np.sort(above_zero - lift)[::-1]


def _dataset(point: _Point, values: np.ndarray, *, exact: bool, tolerance: float) -> xr.Dataset:
    modulus = np.abs(values)
    largest = modulus.max()
    nonzero = modulus[modulus > tolerance * largest] if largest else modulus[:0]
    unseen = "" if exact else "Lanczos iteration sees only the ends of the spectrum"
    flat = unseen or ("" if len(nonzero) else "the Hessian is zero")
    gradient, value = torch.func.grad_and_value(point.loss)(point.vector)
    zero = float(len(values) - len(nonzero))
    negative = float((values < -tolerance * largest).sum())
    return xr.Dataset(
        {
            "eigenvalue": variable("rank", values, "eigenvalue of the Hessian, the largest first"),
            "lambda_max": variable((), values[0], "largest eigenvalue"),
            "lambda_min": variable((), values[-1], "smallest eigenvalue"),
            "condition_number": variable(
                (),
                math.nan if flat else largest / nonzero.min(),
                "largest modulus of an eigenvalue over the smallest that is not zero",
                undefined=flat,
            ),
            "n_zero": variable((), math.nan if unseen else zero, "number of zero eigenvalues", undefined=unseen),
            "n_negative": variable(
                (), math.nan if unseen else negative, "number of negative eigenvalues", undefined=unseen
            ),
            "loss": variable((), value.item(), "loss at the parameters"),
            "gradient_norm": variable((), gradient.norm().item(), "Euclidean norm of the gradient at the parameters"),
        },
        coords={"rank": np.arange(len(values))},
    )


def _check_options(method: str, n_eigenvalues: int, tolerance: float | None) -> None:
    if method not in ("auto", "exact", "lanczos"):
        raise ArgumentError(f"got method={method!r}, expected 'auto', 'exact' or 'lanczos'")
    if n_eigenvalues < 2:
        raise ArgumentError(f"got n_eigenvalues={n_eigenvalues}, expected 2 or more: one from each end")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise ArgumentError(f"got tolerance={tolerance}, expected a fraction of the largest modulus, from 0 to below 1")
