"""Cosines of relation matrices in which each pair of stimuli counts as often as both of them were drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device

Centring = Literal["none", "pairs", "rows", "gram"]
"""What was taken from the relations: nothing, their mean over pairs, a value per stimulus (U-centring); or a value
per stimulus where the relation of a stimulus with itself counts as well (a centred Gram matrix)."""

# Sums of unit relations below this many units in the last place are zero.
ROUNDING = 2**20
# Weighted values held at a time (8 MiB).
CHUNK = 2**20


def centring_of(a: Any, b: Any, n: int) -> Centring | None:
    """Return what was taken from unit relations (k, n * n); None where none of the kinds known here was.

    It can be read off the relations: what was taken from them leaves sums of zero. And as a sample of centred
    relations, centred again, is the sample of the relations, centred, nothing else need be known of the measure.
    """
    xp = array_namespace(a, b)
    both = xp.concat([a, b], axis=0)
    both = both[~xp.isnan(both[:, 0]), :]
    rounding = ROUNDING * float(xp.finfo(both.dtype).eps)
    rows = xp.sum(xp.reshape(both, (-1, n, n)), axis=-1)
    by_row = bool(xp.all(xp.abs(rows) < rounding))
    if bool(xp.any(both[:, :: n + 1] != 0)):
        return "gram" if by_row else None
    if by_row:
        return "rows"
    return "pairs" if bool(xp.all(xp.abs(xp.sum(rows, axis=-1)) < rounding)) else "none"


@dataclass(frozen=True)
class WeightedPairs:
    """Cosines of relations over pairs of stimuli that count w_i w_j times.

    A stimulus makes no pair with its own copies, but for centred Gram matrices, where it is related to itself.

    Parameters
    ----------
    n : int
        Number of stimuli.
    centring : {"none", "pairs", "rows", "gram"}
        What is taken from the relations of each sample.
    """

    n: int
    centring: Centring

    def scores(self, a: Any, b: Any, weights: np.ndarray) -> Any:
        """Return (draw, k, l) cosines of relations (k, n * n) and (l, n * n); NaN where a sample has no relations.

        Parameters
        ----------
        weights : numpy.ndarray
            (draw, n) whole numbers.
        """
        xp = array_namespace(a, b)
        counts = xp.asarray(weights, dtype=a.dtype, device=device(a))
        rows, columns = np.triu_indices(self.n, 0 if self.centring == "gram" else 1)
        where = device(a)
        index = xp.asarray(rows * self.n + columns, device=where)
        first, second = (xp.asarray(i, device=where) for i in (rows, columns))
        once = xp.asarray(np.where(rows == columns, 1.0, 2.0), dtype=a.dtype, device=where)
        pairs = xp.take(counts, first, axis=1) * xp.take(counts, second, axis=1) * once
        x, y = (xp.take(side, index, axis=-1) for side in (a, b))
        raw = (
            _products(x, y, pairs),
            xp.matmul(pairs, xp.matrix_transpose(x * x)),
            xp.matmul(pairs, xp.matrix_transpose(y * y)),
        )
        taken = self._taken(a, b, counts, pairs)
        norms = []
        for square, removed in zip(raw[1:], taken[1:], strict=True):
            left = square - removed
            rounding = ROUNDING * float(xp.finfo(a.dtype).eps) * square
            norms.append(xp.sqrt(xp.where(left > rounding, left, xp.full_like(left, float("nan")))))
        return (raw[0] - taken[0]) / (norms[0][:, :, None] * norms[1][:, None, :])

    def _taken(self, a: Any, b: Any, counts: Any, pairs: Any) -> tuple[Any, Any, Any]:
        """Return what centring takes from <a, b>, <a, a> and <b, b>: (draw, k, l), (draw, k), (draw, l).

        With s = sum_j w_j K_ij it is sum_i v_i s_i s'_i - (sum v s) (sum v s') / q for the two centrings by row. The
        first is the projection on r_i + r_j by least squares over the drawn pairs i /= j, with W = sum w: the
        normal equations (W - 2 w_i) r_i + sum_j w_j r_j = s_i are diagonal but for one term.
        """
        xp = array_namespace(a)
        zero = xp.zeros((1, 1), dtype=a.dtype, device=device(a))
        if self.centring == "none":
            return zero[:, :, None], zero, zero
        sample = xp.sum(counts, axis=-1, keepdims=True)
        if self.centring == "pairs":
            total = xp.sum(pairs, axis=-1, keepdims=True)
            v, q = counts, -_or_nan(total)
        elif self.centring == "gram":
            v, q = 2 * counts / sample, xp.full_like(sample, 4.0)
        else:
            # One stimulus drawn as often as all others together leaves the fit undetermined.
            v = 2 * counts / _or_nan(sample - 2 * counts)
            q = _or_nan(2 + xp.sum(v, axis=-1, keepdims=True))
        size = max(1, CHUNK // (self.n * (a.shape[0] + b.shape[0])))
        parts = [
            self._rows(a, b, counts[k : k + size, :], v[k : k + size, :], q[k : k + size, :])
            for k in range(0, counts.shape[0], size)
        ]
        cross, own_a, own_b = (xp.concat(list(side), axis=0) for side in zip(*parts, strict=True))
        return cross, own_a, own_b

    def _rows(self, a: Any, b: Any, counts: Any, v: Any, q: Any) -> tuple[Any, Any, Any]:
        """Return the three sums of `_taken` for some draws."""
        xp = array_namespace(a)
        sums, weighted, means = [], [], []
        for side in (a, b):
            flat = xp.reshape(side, (-1, self.n))
            sums.append(xp.reshape(xp.matmul(counts, xp.matrix_transpose(flat)), (counts.shape[0], -1, self.n)))
            weighted.append(sums[-1] * v[:, None, :])
            means.append(xp.sum(weighted[-1], axis=-1))
        cross = -means[0][:, :, None] * means[1][:, None, :] / q[:, :, None]
        own = [-mean * mean / q for mean in means]
        if self.centring != "pairs":
            cross = cross + xp.matmul(weighted[0], xp.matrix_transpose(sums[1]))
            own = [part + xp.sum(x * s, axis=-1) for part, x, s in zip(own, weighted, sums, strict=True)]
        return cross, own[0], own[1]


def _or_nan(divisor: Any) -> Any:
    """Return `divisor`, NaN where it is 0."""
    xp = array_namespace(divisor)
    return xp.where(divisor == 0, xp.full_like(divisor, float("nan")), divisor)


def _products(x: Any, y: Any, pairs: Any) -> Any:
    """Return sum_p w_p x_p y_p, (draw, k, l)."""
    xp = array_namespace(x)
    (k, m), maps = x.shape, y.shape[0]
    size = max(1, CHUNK // (maps * m))
    parts = []
    for start in range(0, k, size):
        both = xp.reshape(x[start : start + size, None, :] * y[None, :, :], (-1, m))
        parts.append(xp.reshape(xp.matmul(pairs, xp.matrix_transpose(both)), (pairs.shape[0], -1, maps)))
    return xp.concat(parts, axis=1)
