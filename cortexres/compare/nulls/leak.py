"""A network that only leaks from its first state to its last: does the way between them matter?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from scipy import optimize

from cortexres.compare.nulls.null import Pair, both
from cortexres.errors import ArgumentError

LEAST_ALPHA = 1e-6


@dataclass(frozen=True)
class LeakOnly:
    """The network's own first and last states, with nothing but a leak between them.

    h[k+1] = h[k] + alpha (u - h[k]) gives h[k] = h[0] + (u - h[0]) (1 - (1 - alpha)^k), and u is chosen so that the
    last state is the network's own. With ``alpha=1`` the last state is held from block 1 on. The network without
    recurrence, whose last state is another, is a model: make it and pass `ModelNull`.

    Parameters
    ----------
    alpha : float, optional
        Step of the leak, dt / tau, in (0, 1]. By default the one for which the states are nearest to the network's
        own (least squares over all blocks): the leak that is hardest to be told from the network.
    """

    alpha: float | None = None
    name: str = "leak_only"
    claim: str = "the network's way from its first to its last state matters beyond a leak"
    random: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Refuse steps that are no leak."""
        if self.alpha is not None and not 0 < self.alpha <= 1:
            raise ArgumentError(f"got alpha={self.alpha:g}, expected a step of the leak in (0, 1], or None to fit it")

    def draw(self, brain: xr.Dataset, network: xr.Dataset, rng: np.random.Generator) -> Pair:
        """Return the brain as it is, and the network that leaks; nothing is random."""
        states = np.asarray(network["response"].values, dtype=float)
        alpha = self.alpha or nearest_alpha(states)
        start = states[:, :1]
        leaking = start + progress(alpha, states.shape[1])[:, None] * (states[:, -1:] - start)
        return brain, _as_network(leaking, network, f"leak only, alpha {alpha:.3g}")

    __and__ = both


def progress(alpha: float, blocks: int) -> np.ndarray:
    """Return the share of the way to the last state, (block,), 0 at the first and 1 at the last."""
    decay = np.log1p(-alpha) if alpha < 1 else -np.inf
    steps = np.arange(1, blocks)
    ways = np.expm1(steps * decay) / np.expm1((blocks - 1) * decay)
    return np.concatenate([[0.0], ways])


def nearest_alpha(states: np.ndarray) -> float:
    """Return the step of the leak whose states are nearest to states (stimulus, block, unit) in least squares."""
    moved = states - states[:, :1]
    along = np.einsum("sbu,su->b", moved, moved[:, -1])
    squared = float(np.sum(moved[:, -1] ** 2))

    def distance(alpha: float) -> float:
        way = progress(alpha, states.shape[1])
        return float(squared * way @ way - 2 * way @ along)

    found = optimize.minimize_scalar(distance, bounds=(LEAST_ALPHA, 1.0), method="bounded", options={"xatol": 1e-9})
    return float(found.x)


def _as_network(states: np.ndarray, like: xr.Dataset, model: str) -> xr.Dataset:
    dims = ("stimulus", "block", "unit")
    update = np.diff(states, axis=1, prepend=states[:, :1])
    variables = {
        "response": xr.Variable(dims, states, dict(like["response"].attrs)),
        "update": xr.Variable(dims, update, dict(like["update"].attrs)),
    }
    return xr.Dataset(variables, coords=like.coords, attrs={**like.attrs, "model": model})
