"""Trajectories of brain and network in one space of few dimensions, to be drawn together."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cortexres.compare.pairing import float_values
from cortexres.compare.updates.block_times import BlockMap, block_times, point_weights
from cortexres.errors import ArgumentError
from cortexres.provenance import provenance
from cortexres.schema import check_brain, check_network, same_stimuli

SAME = "components of the brain, onto which the network is projected"
FITTED = "components of the brain, onto which the network was rotated and scaled (fitted)"
# So many components of each side are rotated onto each other, before the first of them are kept.
FITTED_DIMENSIONS = 10
RESOLVED = 1e-12  # singular values below this share of the largest are rounding
WARNING = (
    "the network was rotated and scaled onto the brain at the mapped times, so that nearness is no evidence: judge it"
    " by a measure and its null"
)


def shared_space(
    brain: xr.Dataset, network: xr.Dataset, *, mapping: BlockMap = None, components: int = 2
) -> xr.Dataset:
    """Return the states of both sides along the brain's first principal components.

    Where both sides have the same units, the network is projected onto the brain's components and nothing is fitted.
    Else its own first components, up to 10, are rotated, reflected, scaled and shifted onto as many of the brain at the
    times of the blocks (Procrustes), and ``attrs["warnings"]`` says that this was fitted.

    Parameters
    ----------
    brain, network : xarray.Dataset
        With the same stimuli.
    mapping : Dataset, DataArray, callable or None
        Time of each block: an alignment, or any ``t_ms`` (block); the network's own where it is None.
    components : int
        Number of dimensions.

    Returns
    -------
    xarray.Dataset
        ``brain`` (stimulus, time, component), the mean over trials; ``network`` (stimulus, block, component);
        ``variance_explained`` (component), of the brain's mean response over stimuli and times; coordinate ``t_ms``
        (block).

    Raises
    ------
    SchemaError
        If a Dataset does not keep the schema, or the stimuli differ.
    ArgumentError
        If one side has fewer dimensions than `components` or none at all, there is no time of the blocks, or fewer than
        two blocks are at times of the recording.

    References
    ----------
    Lin, B., Mur, M., Kietzmann, T., Kriegeskorte, N. (2019). Visualizing representational dynamics with
    multidimensional scaling alignment. arXiv:1906.09264
    """
    check_brain(brain)
    check_network(network)
    same_stimuli(brain, network)
    t_ms = block_times(brain, network, mapping)
    states, blocks = float_values(brain["response"]).mean(axis=1), float_values(network["response"])
    centre, axes, share = _principal(states)
    _check(components, len(axes), "brain")
    ours = (states - centre) @ axes.T
    same = _same_units(brain, network)
    if same:
        theirs = (blocks - centre) @ axes.T
    else:
        theirs = _rotated(blocks, ours, point_weights(float_values(brain["time"]), t_ms), components)
    ours, theirs, share = ours[..., :components], theirs[..., :components], share[:components]
    text, units = "along the brain's principal components", str(brain["response"].attrs["units"])
    variables = {
        "brain": xr.Variable(("stimulus", "time", "component"), ours, {"units": units, "long_name": text}),
        "network": xr.Variable(("stimulus", "block", "component"), theirs, {"units": units, "long_name": text}),
        "variance_explained": xr.Variable(
            "component", share, {"units": "1", "long_name": "share of the brain's variance over stimuli and times"}
        ),
    }
    coords = {
        str(name): c.variable
        for side, dims in ((brain, ("stimulus", "time")), (network, ("block",)))
        for name, c in side.coords.items()
        if len(c.dims) == 1 and c.dims[0] in dims
    }
    coords |= {
        "component": xr.Variable("component", np.arange(components)),
        "t_ms": xr.Variable("block", t_ms, {"units": "ms", "long_name": "time of the block"}),
    }
    space = SAME if same else FITTED
    attrs = {
        "model": str(network.attrs.get("model", "")),
        "space": space,
        "n_stimuli": brain.sizes["stimulus"],
        "warnings": "" if same else WARNING,
        "cortexres_provenance": provenance(space=space, components=components),
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _same_units(brain: xr.Dataset, network: xr.Dataset) -> bool:
    names = [np.asarray(side["name"].values).astype(str) for side in (brain, network) if "name" in side.coords]
    named_alike = len(names) == 2 and np.array_equal(names[0], names[1])
    return named_alike and brain["response"].attrs["units"] == network["response"].attrs["units"]


def _principal(states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean (unit,), all axes (component, unit) and their shares of variance, of states (..., unit)."""
    flat = states.reshape(-1, states.shape[-1])
    centre = flat.mean(axis=0)
    _, singular, axes = np.linalg.svd(flat - centre, full_matrices=False)
    rank = int(np.sum(singular > RESOLVED * max(singular[0], np.finfo(float).tiny)))
    return centre, axes[:rank], singular[:rank] ** 2 / np.sum(singular[:rank] ** 2)


def _check(components: int, rank: int, side: str) -> None:
    if rank == 0:
        raise ArgumentError(f"the {side}'s states are all the same, expected some that differ between stimuli or times")
    if not 0 < components <= rank:
        raise ArgumentError(f"got components={components}, expected 1 to {rank}, the dimensions of the {side}'s states")


def _rotated(blocks: np.ndarray, ours: np.ndarray, weights: np.ndarray, components: int) -> np.ndarray:
    """Return the blocks' own components rotated, scaled and shifted onto the brain's at their times.

    Parameters
    ----------
    blocks, ours : numpy.ndarray
        (stimulus, block, unit) and (stimulus, time, component).
    weights : numpy.ndarray
        (block, time) that read the brain at the times of the blocks; NaN where it has none.
    components : int
        How many are wanted at least.
    """
    centre, axes, _ = _principal(blocks)
    _check(components, len(axes), "network")
    timed = np.isfinite(weights).all(axis=1)
    if timed.sum() < 2:
        raise ArgumentError(f"got {int(timed.sum())} blocks at times of the recording, expected 2 or more to rotate by")
    count = max(components, min(FITTED_DIMENSIONS, len(axes), ours.shape[-1]))
    own = (blocks - centre) @ axes[:count].T
    target = np.einsum("bt,stc->sbc", weights[timed], ours[..., :count]).reshape(-1, count)
    source = own[:, timed].reshape(-1, count)
    target_mean, source_mean = target.mean(axis=0), source.mean(axis=0)
    left, singular, right = np.linalg.svd((source - source_mean).T @ (target - target_mean))
    scale = singular.sum() / np.sum((source - source_mean) ** 2)
    result: np.ndarray = scale * (own - source_mean) @ (left @ right) + target_mean
    return result
