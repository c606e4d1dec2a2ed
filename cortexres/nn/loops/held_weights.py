"""Constrained weights that are computed once and held, for loops that call a block in several passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn.utils import parametrize

from cortexres.nn.constrained import computed_once
from cortexres.nn.loops.run import Run

Held = dict[tuple[int, str], Tensor | None]


def held_weights(run: Run) -> Held:
    """Return the constrained weights of a run's blocks, computed once, as parts of the graph where gradients are on.

    `computed_once` alone forgets them at its end. A pass that comes later would compute them again; a pass within
    somebody else's `parametrize.cached()` would find them computed where the first one did not; and one without
    gradients would leave them there without a gradient.
    """
    with computed_once(True, *run.blocks()):
        if not parametrize._cache_enabled:  # where torch's cache cannot tell layers apart: computed at each call
            return {}
        for block in run.blocks():
            for layer in block.modules():
                if parametrize.is_parametrized(layer):
                    for name in layer.parametrizations:  # type: ignore[union-attr]
                        getattr(layer, name)
        return dict(parametrize._cache)


@contextmanager
def lent_weights(weights: Held) -> Iterator[None]:
    """Return a context in which the layers have these weights, and after which torch's cache is as it was."""
    if not weights:
        yield
        return
    with parametrize.cached():
        before = dict(parametrize._cache)
        parametrize._cache.update(weights)
        try:
            yield
        finally:
            parametrize._cache.clear()
            parametrize._cache.update(before)
