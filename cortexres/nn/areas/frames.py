"""What enters at each step: an input that stays the same, a movie of one frame per step, or nothing."""

from __future__ import annotations

from torch import Tensor

from cortexres.errors import ArgumentError
from cortexres.nn.areas.adjacency import Area
from cortexres.nn.recurrent import Injection
from cortexres.nn.sizes import check_sizes


def count_steps(x: Tensor, area: Area, injection: Injection, own: int, steps: int | None) -> int:
    """Return the number of steps of a run on `x`: `steps`, or one per frame, or the network's `own`.

    Raises
    ------
    ArgumentError
        If `x` is no batch of inputs of the shape of `area`, nor of movies of them, a movie would enter at the first
        step only, or `steps` is out of range.
    """
    movie = _is_movie(x, area)
    if x.ndim < len(area.shape) + 1 or x.shape[2 if movie else 1 :] != area.shape:
        raise ArgumentError(
            f"got an input of shape {tuple(x.shape)}, expected (batch, {', '.join(map(str, area.shape))}), or with a "
            "time after the batch"
        )
    if movie and injection == "first":
        raise ArgumentError("got a movie with injection='first', expected injection='every': a frame enters a step")
    most = x.shape[1] if movie else own
    count = most if steps is None else steps
    check_sizes(steps=count)
    if movie and count > most:
        raise ArgumentError(f"got steps={count}, expected at most {most}: the movie has no more frames")
    return count


def frame_of(x: Tensor, area: Area, injection: Injection, step: int) -> Tensor | None:
    """Return what enters at a step, (batch, ...); None where nothing does."""
    if injection == "first":
        return None
    return x[:, step] if _is_movie(x, area) else x


def _is_movie(x: Tensor, area: Area) -> bool:
    return x.ndim == len(area.shape) + 2
