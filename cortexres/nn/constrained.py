"""Weights computed from others, such as those that keep Dale's law: computed once per run, not at each step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch.nn.utils import parametrize


def computed_once(shared: bool) -> AbstractContextManager[None]:
    """Return a context in which constrained weights are computed once, where steps share them.

    Where they do not, nothing is to be gained, and torch's cache would give copies of one layer the weight of the
    first: it tells layers apart by the class that they share.
    """
    cached: AbstractContextManager[None] = parametrize.cached()
    return cached if shared else nullcontext()
