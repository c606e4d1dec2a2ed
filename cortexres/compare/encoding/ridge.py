"""Ridge regression of many targets on the same features, decomposed once; for numpy and torch arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from cortexres.compare.measures.relations import centre_stimuli
from cortexres.errors import ArgumentError

PENALTIES = tuple(10.0**k for k in range(-6, 5))


@dataclass(frozen=True)
class Decomposed:
    """Features (..., n, p) after which a ridge map to any targets, at any penalty, costs matrix products only.

    With eigenvalues l of the smaller of X'X and XX', the fitted values are C diag(1 / (l + penalty)) D' y, and
    those of new features the same with their own components (x - mean) B for C. No singular value is divided by,
    so features of lower rank need no cut-off.

    Parameters
    ----------
    mean : array
        (..., 1, p).
    basis : array
        B, (..., p, r) with r the smaller of n and p.
    components : array
        C, (..., n, r), of the features themselves.
    duals : array
        D, (..., n, r).
    eigenvalues : array
        (..., r), not negative.
    scale : array
        (..., 1), the mean of the n eigenvalues of XX', which penalties are counted in; 1 where features do not differ
        between stimuli and any would do.
    """

    mean: Any
    basis: Any
    components: Any
    duals: Any
    eigenvalues: Any
    scale: Any


def decomposed(features: Any) -> Decomposed:
    """Return the decomposition of features (..., n, p), taken about their mean over the n stimuli."""
    xp = array_namespace(features)
    n, p = features.shape[-2:]
    x = centre_stimuli(features)
    transposed = xp.matrix_transpose(x)
    eigenvalues, vectors = xp.linalg.eigh(xp.matmul(x, transposed) if n <= p else xp.matmul(transposed, x))
    # The mean that was taken off leaves a direction of eigenvalue 0; its rounding, over a small penalty, would be seen.
    rounding = n * xp.finfo(x.dtype).eps * xp.max(eigenvalues, axis=-1, keepdims=True)
    real = eigenvalues > rounding
    eigenvalues = xp.where(real, eigenvalues, xp.zeros_like(eigenvalues))
    basis = xp.matmul(transposed, vectors) if n <= p else vectors
    basis = xp.where(real[..., None, :], basis, xp.zeros_like(basis))
    components = xp.matmul(x, basis)
    scale = xp.sum(eigenvalues, axis=-1, keepdims=True) / n
    return Decomposed(
        mean=xp.mean(features, axis=-2, keepdims=True),
        basis=basis,
        components=components,
        duals=vectors if n <= p else components,
        eigenvalues=eigenvalues,
        scale=xp.where(scale > 0, scale, xp.ones_like(scale)),
    )


def in_fewest_units(features: Any) -> Any:
    """Return features (..., n, p) rotated into at most n units, which leaves every ridge map's predictions as they are.

    Wide layers are then decomposed once for all folds.
    """
    n, p = features.shape[-2:]
    if p <= n:
        return features
    xp = array_namespace(features)
    _, r = xp.linalg.qr(xp.matrix_transpose(features), mode="reduced")
    return xp.matrix_transpose(r)


def predicted_deviations(parts: Decomposed, targets: Any, new: Any, penalty: Any) -> Any:
    """Return what the map predicts for new features (..., m, p) beyond the mean of the targets, (..., m, q).

    Parameters
    ----------
    parts : Decomposed
        Of the features learned from.
    targets : array
        (..., n, q).
    new : array
        (..., m, p).
    penalty : float or array
        In units of `Decomposed.scale`; one for all, or one for each target, (q,) or (..., 1, q).
    """
    xp = array_namespace(targets)
    projected = xp.matmul(xp.matrix_transpose(parts.duals), targets - xp.mean(targets, axis=-2, keepdims=True))
    shrunk = projected / (parts.eigenvalues[..., None] + penalty * parts.scale[..., None])
    return xp.matmul(xp.matmul(new - parts.mean, parts.basis), shrunk)


def left_out_errors(parts: Decomposed, targets: Any, penalty: float) -> Any:
    """Return the errors (..., n, q) in each stimulus of the map learned from the n - 1 others, mean included.

    The residual over 1 - leverage, which is exact where the penalty itself does not depend on who is left out.
    """
    return _left_out_errors(parts, *_centred(parts, targets), penalty)


def _centred(parts: Decomposed, targets: Any) -> tuple[Any, Any]:
    """Return the targets about their mean, and their projections D' y, which no penalty changes."""
    xp = array_namespace(targets)
    centred = targets - xp.mean(targets, axis=-2, keepdims=True)
    return centred, xp.matmul(xp.matrix_transpose(parts.duals), centred)


def _left_out_errors(parts: Decomposed, centred: Any, projected: Any, penalty: float) -> Any:
    """Return `left_out_errors`, without the matrix (n, n) of the map: only its diagonal is needed."""
    xp = array_namespace(centred)
    weighted = parts.components / (parts.eigenvalues + penalty * parts.scale)[..., None, :]
    remaining = 1 - xp.sum(weighted * parts.duals, axis=-1) - 1 / centred.shape[-2]
    return (centred - xp.matmul(weighted, projected)) / remaining[..., None]


def best_penalties(parts: Decomposed, targets: Any, penalties: Sequence[float]) -> tuple[Any, Any]:
    """Return the penalty of least leave-one-out error for each target, (..., 1, q), and that sum of squares.

    Parameters
    ----------
    parts : Decomposed
        Of the features (..., n, p).
    targets : array
        (..., n, q).
    penalties : sequence of float
        To choose from; of equal ones the first.
    """
    xp = array_namespace(targets)
    centred, projected = _centred(parts, targets)
    chosen: Any = None
    for penalty in penalties:
        error = xp.sum(_left_out_errors(parts, centred, projected, penalty) ** 2, axis=-2, keepdims=True)
        if chosen is None:
            chosen, least = xp.full_like(error, penalty), error
            continue
        better = error < least
        chosen = xp.where(better, xp.full_like(error, penalty), chosen)
        least = xp.where(better, error, least)
    return chosen, least


def check_ridge(n: int, folds: int, penalties: Sequence[float]) -> None:
    """Raise where stimuli cannot be left out in that many folds, or no ridge map has these penalties.

    Raises
    ------
    ArgumentError
        Then.
    """
    if folds < 2 or n - -(-n // max(folds, 1)) < 3:
        raise ArgumentError(
            f"got {n} stimuli in {folds} folds, expected at least 2 folds that each leave 3 or more stimuli"
            " to learn from"
        )
    if not penalties or min(penalties) <= 0:
        raise ArgumentError(f"got penalties {list(penalties)}, expected one or more positive numbers")
