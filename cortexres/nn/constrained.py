"""Weights computed from others, such as those that keep Dale's law: computed once per run, not at each step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch import nn
from torch.nn.utils import parametrize


def computed_once(shared: bool, *modules: nn.Module) -> AbstractContextManager[None]:
    """Return a context in which the constrained weights of `modules` are computed once, where steps share them.

    Where they do not, nothing is to be gained. Nor where a layer and its deep copy are both constrained: torch's cache
    tells layers apart by a class that both share, and would give the copy the weight of the first. Layers under Dale's
    law have classes of their own, see `cortexres.nn.dale`.
    """
    cached: AbstractContextManager[None] = parametrize.cached()
    return cached if shared and not _copied(modules) else nullcontext()


def _copied(modules: tuple[nn.Module, ...]) -> bool:
    """Return whether two constrained layers share the class that torch made for one of them."""
    kinds = [type(part) for module in modules for part in module.modules() if parametrize.is_parametrized(part)]
    return len(set(kinds)) < len(kinds)
