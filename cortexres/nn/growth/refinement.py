"""The same dynamics in smaller steps: T steps of dt become 2T steps of dt / 2."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError
from cortexres.nn.block import Block
from cortexres.nn.growth.rebuilt import rebuilt
from cortexres.nn.growth.stages import Growable, with_changed
from cortexres.nn.growth.whole_numbers import whole
from cortexres.nn.norms import StepNorm
from cortexres.nn.recurrent import Recurrent
from cortexres.nn.shortcuts import Identity, LearnedScale, NoShortcut, Scaled, SoftAssignment
from cortexres.nn.untie import alone


def refine(network: Growable, times: int = 2, *, stage: int | None = None) -> Growable:
    """Return a network of `times` as many steps, each `times` as small: the same Euler path, more finely drawn.

    Each block follows itself, and adds 1 / times of what it added: ``h + F`` becomes ``h + F / 2`` twice, ``(1 - gamma)
    h + gamma F`` is taken with gamma / 2. What the network computes changes a little, by the error of the coarser
    path, which falls as 1 / steps where F is smooth. An untied network gets copies of its blocks, which then learn
    apart. A tied one, (T, dt) -> (2T, dt / 2), has no parameter more but what normalisation keeps per step, which the
    finer steps take from the step that they come from. Noise per step falls by the root of `times`, and a readout at
    step k is at step ``times * k``.

    Parameters
    ----------
    network : Recurrent, Stage or StagedNetwork
        Not changed itself; transitions between stages are no steps, and stay.
    times : int
        2 or more.
    stage : int, optional
        Of a staged network, from 0: the one to refine; all where it is left out. Others have stage 0 alone.

    Raises
    ------
    ArgumentError
        If `times` is no whole number or below 2, there is no such stage, a shortcut has no step that could be smaller
        (a learned gate, a linear map), or a norm shares batch statistics that are refused in evaluation.

    References
    ----------
    Chang et al. (2018), Multi-level residual networks from dynamical systems view, arXiv:1710.10348
    """
    count = whole("times", times)
    if count < 2:
        raise ArgumentError(f"got times={times}, expected 2 or more")
    return with_changed(network, partial(_refined, times=count), stage=stage)


def _refined(own: Recurrent, times: int) -> Recurrent:
    if own.tied:
        block: Block | list[Block] = _smaller(_repeated(own.block, times), times)
    else:
        block = [_smaller(alone(own.at(k)[0], 0), times) for k in range(own.steps) for _ in range(times)]
    noise = own.noise / math.sqrt(times)
    return rebuilt(own, block, steps=own.steps * times, noise=noise, moved=lambda read: read * times)


def _repeated(block: Block, times: int) -> Block:
    """Return a shared block of `times` as many steps: what a norm keeps of each is there `times` in a row."""
    made = copy.deepcopy(block)
    for name, norm in list(block.named_modules()):
        if isinstance(norm, StepNorm):
            parts = [norm.at_step(step) for step in range(norm.recipe.steps) for _ in range(times)]
            made.set_submodule(name, norm.merged(parts, lambda _, values: values[0]))
    return made


def _smaller(block: Block, times: int) -> Block:
    """Return the block itself, with a step that is smaller."""
    kind = type(block.shortcut)
    if kind not in _SMALLER:
        raise ArgumentError(
            f"got blocks with the shortcut {kind.__name__}, expected one with a step that can be smaller: "
            f"{', '.join(known.__name__ for known in _SMALLER)}"
        )
    block.shortcut = _SMALLER[kind](block.shortcut, times)
    return block


@torch.no_grad()
def _learned(shortcut: LearnedScale, times: int) -> LearnedScale:
    shortcut.scale.div_(times)
    return shortcut


def _leaky(shortcut: SoftAssignment, times: int) -> SoftAssignment:
    gamma: float | Tensor = shortcut.gamma
    return SoftAssignment(gamma / times)


_SMALLER: Mapping[type[nn.Module], Callable[[Any, int], nn.Module]] = {
    Identity: lambda shortcut, times: Scaled(1.0 / times),
    Scaled: lambda shortcut, times: Scaled(shortcut.scale / times),
    LearnedScale: _learned,
    SoftAssignment: _leaky,
    NoShortcut: lambda shortcut, times: SoftAssignment(1.0 / times),  # a leak of the whole state at every step
}
