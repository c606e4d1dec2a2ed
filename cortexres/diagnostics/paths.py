"""Gradient by path length: through how many residual functions does what the network learns from pass?

A network of n residual blocks is a sum over 2 ** n paths: at each block a path goes through the residual function or
past it. The gradient that reaches the first state along a path shrinks with the number of residual functions in it,
while the number of paths grows, and their product says how deep the network is in effect.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit, logsumexp
from torch import Tensor, nn

from cortexres.diagnostics.datasets import variable
from cortexres.diagnostics.passages import kinds
from cortexres.diagnostics.rows import split
from cortexres.diagnostics.subject import Subject
from cortexres.diagnostics.task import Task, task
from cortexres.errors import ArgumentError
from cortexres.nn.chain import Chain, Chained

Array = NDArray[np.float64]
_LOG10 = math.log(10)


def path_counts(n_blocks: int, *, multiplicity: int = 1) -> list[int]:
    """Return how many paths pass through k residual functions, for k = 0 to `n_blocks`: exact integers.

    Parameters
    ----------
    n_blocks : int
        Number of blocks n.
    multiplicity : int
        Residual functions m that a block adds up: there are ``C(n, k) m ** k`` paths of length k, ``(m + 1) ** n`` in
        all.

    Raises
    ------
    ArgumentError
        If either is below 1.

    References
    ----------
    Veit, Wilber & Belongie (2016), arXiv:1605.06431; Abdi & Nahavandi (2016), Multi-residual networks,
    arXiv:1609.05672
    """
    if n_blocks < 1 or multiplicity < 1:
        raise ArgumentError(f"got n_blocks={n_blocks} and multiplicity={multiplicity}, expected 1 or more of each")
    return [math.comb(n_blocks, k) * multiplicity**k for k in range(n_blocks + 1)]


def path_spectrum(
    network: Chained | Chain,
    inputs: Tensor | xr.Dataset,
    labels: Tensor | None = None,
    *,
    draws: int = 4,
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Return the gradient of the loss at the first state by the length of the paths along which it comes.

    Each stimulus has its own paths. The states are those of the whole network; on the way back a path goes through
    the residual functions of k blocks drawn at random and through the shortcuts of the others. Gradients are kept as
    direction and logarithm, so that nothing underflows.

    The first state is that before any step: what the layers before it do is common to all paths. A drive that enters
    at every step is held constant.

    Parameters
    ----------
    network, inputs, labels
        See `cortexres.diagnostics.task`.
    draws : int
        Paths of each length for each stimulus; all of them, once each, where there are no more than that.
    rng : int or numpy Generator, optional
        Draws the paths.

    Returns
    -------
    Dataset
        Over ``length``, 0 to n: ``log10_gradient`` of the mean norm over stimuli and paths (the loss is a stimulus's
        own); ``log10_paths``, the number of paths; ``share`` of the gradient, their product over its sum. And
        ``mean_length``, the effective depth; ``lower`` and ``upper``, the lengths between which at least 95 % of the
        gradient lies; ``slope``, of a line through ``log10_gradient`` (decades per block); ``dominant_length``,
        ``n b / (1 + b)`` with ``b = 10 ** slope``: the mean were each residual function to scale gradients by b
        (Littwin and Wolf); ``stderr_log10_gradient``, the standard error over stimuli, NaN of a single one. Slope and
        dominant length are NaN where all gradients come along paths of one length.

    Raises
    ------
    ArgumentError
        If a block carries nothing, so that there is but one path; if the gradient at the last state is zero for all
        stimuli, or `draws` is below 1; see also `task`.

    References
    ----------
    Veit, Wilber & Belongie (2016), Residual networks behave like ensembles of relatively shallow networks,
    arXiv:1605.06431
    Littwin & Wolf (2016), The loss surface of residual networks, arXiv:1611.02525
    """
    own = task(network, inputs, labels)
    if draws < 1:
        raise ArgumentError(f"got draws={draws}, expected 1 or more")
    _check_skips(own.subject)
    n_steps = len(own.subject.chain.steps)
    back = _Backward(own)
    generator = np.random.default_rng(rng)
    log_norms = [back.log_norms(_subsets(n_steps, k, draws, back.count, generator)) for k in range(n_steps + 1)]
    log_gradient = np.array([logsumexp(values) - math.log(values.size) for values in log_norms])
    stderr = [_relative_stderr(values) for values in log_norms]
    log_paths = np.array([math.log(count) for count in path_counts(n_steps)])
    return own.subject.dataset(
        {
            "log10_gradient": variable("length", log_gradient / _LOG10, "log10 of the mean gradient norm of a path"),
            "stderr_log10_gradient": variable("length", stderr, "its standard error"),
            "log10_paths": variable("length", log_paths / _LOG10, "log10 of the number of paths"),
        }
        | _effective_depth(log_gradient, log_paths),
        {"length": variable("length", np.arange(n_steps + 1), "residual functions in a path", units="blocks")},
        draws=draws,
    )


def _effective_depth(log_gradient: Array, log_paths: Array) -> dict[str, xr.Variable]:
    """Return how deep a network is in effect, from natural logarithms over path length."""
    lengths, weight = np.arange(len(log_gradient)), log_gradient + log_paths
    share = np.exp(weight - logsumexp(weight))
    lower, upper = np.searchsorted(np.cumsum(share) / share.sum(), [0.025, 0.975])
    there = np.isfinite(log_gradient)
    slope = float(np.polyfit(lengths[there], log_gradient[there], 1)[0]) if there.sum() > 1 else math.nan
    dominant = lengths[-1] * expit(slope)  # n b / (1 + b) with b = exp(slope)
    undefined = "gradients come along paths of one length only"
    return {
        "share": variable("length", share, "share of the gradient"),
        "mean_length": variable(
            (), float(share @ lengths), "effective depth: mean path length of the gradient", units="blocks"
        ),
        "lower": variable((), lower, "lower end of 95 % of the gradient", units="blocks"),
        "upper": variable((), upper, "upper end of 95 % of the gradient", units="blocks"),
        "slope": variable(
            (), slope / _LOG10, "slope of log10_gradient", units="decades per block", undefined=undefined
        ),
        "dominant_length": variable(
            (), dominant, "mean path length if all blocks were alike", units="blocks", undefined=undefined
        ),
    }


class _Backward:
    """The way back along chosen paths, from the loss to the first state."""

    def __init__(self, own: Task) -> None:
        self.chain, inputs = own.subject.chain, own.subject.inputs
        with torch.no_grad():
            self.states = self.chain.states(inputs)
            self.drive = self.chain.enter(inputs)[1]
        last = self.states[-1].requires_grad_()
        with torch.enable_grad():
            loss = nn.functional.cross_entropy(self.chain.read(last), own.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, last)
        self.direction, self.log_norm = split(gradient)
        if bool(self.log_norm.isinf().all()):
            raise ArgumentError(
                "got a loss without gradient at the last state for all stimuli, expected some: they are fitted beyond "
                "the precision of the network; give others, or the network in float64"
            )

    @property
    def count(self) -> int:
        """Return the number of stimuli."""
        return len(self.log_norm)

    def log_norms(self, through: NDArray[np.bool_]) -> Array:
        """Return the logarithm of the gradient's norm, (draw, stimulus), along paths (draw, stimulus, block).

        `through` says whether a path goes through the residual function of a block.
        """
        draws = len(through)
        chosen = torch.as_tensor(through.reshape(-1, through.shape[-1]), device=self.direction.device)
        direction, log_norm = _tiled(self.direction, draws), self.log_norm.repeat(draws)
        drive = None if self.drive is None else _tiled(self.drive, draws)
        for k in reversed(range(len(self.chain.steps))):
            step, state = self.chain.steps[k], _tiled(self.states[k], draws).detach().requires_grad_()
            with torch.enable_grad():
                carried, added = step.parts(state, drive)
                own = torch.where(chosen[:, k].view(-1, *(1,) * (added.ndim - 1)), added, carried)
                # the value of the whole sum, so that an activation has its slope there; the gradient of one term
                after = step.finish(own + (carried + added - own).detach())
            (gradient,) = torch.autograd.grad(after, state, direction)
            direction, change = split(gradient)
            log_norm = log_norm + change
        return log_norm.view(draws, -1).cpu().numpy().astype(np.float64)


def _tiled(values: Tensor, draws: int) -> Tensor:
    return values.repeat(draws, *(1,) * (values.ndim - 1))


def _subsets(n: int, k: int, draws: int, stimuli: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of n blocks each path goes through, (draw, stimulus, block): all subsets of k where few."""
    if math.comb(n, k) <= draws:
        every = np.array([[block in chosen for block in range(n)] for chosen in combinations(range(n), k)])
        return np.repeat(every[:, None], stimuli, axis=1)
    return generator.permuted(np.broadcast_to(np.arange(n) < k, (draws, stimuli, n)), axis=-1)


def _relative_stderr(log_norms: Array) -> float:
    """Return the standard error of log10 of a mean of exponentials of (draw, stimulus).

    Paths of one stimulus share its gradient at the end, so that stimuli are independent, not paths.
    """
    top = log_norms.max()
    if not np.isfinite(top) or log_norms.shape[1] < 2:
        return math.nan
    values = np.exp(log_norms - top).mean(axis=0)
    return float(values.std(ddof=1) / math.sqrt(values.size) / values.mean() / _LOG10)


def _check_skips(looked_at: Subject) -> None:
    for step, kind in zip(looked_at.chain.steps, kinds(looked_at), strict=True):
        if not kind.carries:
            raise ArgumentError(
                f"got {step.name}, whose shortcut carries nothing, expected shortcuts in all blocks: without them all "
                "gradients take one path, through every block"
            )
