"""What a training recipe is made of, each a plain function: optimizer, learning rate over time, augmentation.

Options are changed with `functools.partial`, as in ``partial(step_decay, at=(0.3, 0.6))``; anything that is called the
same way can take the place of any of these. The recipe of He et al. (2015) for CIFAR is::

    train(network, stimuli, epochs=164, learning_rate=0.1, batch_size=128, optimizer=sgd, schedule=step_decay,
          augment=crop_and_flip, max_gradient_norm=None)

References
----------
He K, Zhang X, Ren S, Sun J (2015). Deep residual learning for image recognition. arXiv:1512.03385
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from cortexres.errors import ArgumentError

# Parameters and learning rate -> optimizer; torch's own classes are such callables.
MakeOptimizer = Callable[..., torch.optim.Optimizer]
# Share of the training that is done, 0..1 -> factor of the learning rate.
Schedule = Callable[[float], float]
# Inputs of a batch, generator on the CPU -> inputs of the same shape.
Augment = Callable[[Tensor, torch.Generator], Tensor]


def sgd(
    parameters: Iterable[nn.Parameter], lr: float, *, momentum: float = 0.9, weight_decay: float = 1e-4
) -> torch.optim.SGD:
    """Return gradient descent with momentum and weight decay, of He et al. (2015)."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


def constant(done: float) -> float:
    """Return 1: the learning rate stays."""
    return 1.0


def cosine(done: float) -> float:
    """Return half a cosine, from 1 down to 0 (Loshchilov and Hutter 2016, arXiv:1608.03983)."""
    return 0.5 * (1.0 + math.cos(math.pi * done))


def step_decay(done: float, *, at: tuple[float, ...] = (0.5, 0.75), factor: float = 0.1) -> float:
    """Return `factor` to the number of shares in `at` that are passed.

    The default is that of He et al. (2015): a tenth from iteration 32,000 of 64,000 on, a hundredth from 48,000 on.
    """
    return factor ** sum(done >= share for share in at)


def crop_and_flip(images: Tensor, generator: torch.Generator, *, pad: int = 4) -> Tensor:
    """Return each image cut at a random place from itself with a black border, and mirrored every other time.

    Parameters
    ----------
    images : Tensor
        (stimulus, channel, y, x), on any device.
    generator : torch.Generator
        On the CPU, so that the draws do not depend on the device.
    pad : int
        Width of the border in pixels.

    Raises
    ------
    ArgumentError
        If `images` has other dims.
    """
    if images.ndim != 4:
        raise ArgumentError(
            f"got inputs of shape {tuple(images.shape)}, expected images (stimulus, channel, y, x): leave augment out"
        )
    count, _, height, width = images.shape
    drawn = torch.stack(
        [torch.randint(high, (count,), generator=generator) for high in (2 * pad + 1, 2 * pad + 1, 2)]
    ).to(images.device)
    top, left, mirrored = drawn
    x = torch.arange(width, device=images.device)
    x = torch.where(mirrored[:, None] == 1, x.flip(0), x) + left[:, None]
    y = torch.arange(height, device=images.device) + top[:, None]
    padded = nn.functional.pad(images, (pad, pad, pad, pad))
    stimulus = torch.arange(count, device=images.device)[:, None, None]
    # Indices around a slice put its dim last: (stimulus, y, x, channel).
    return padded[stimulus, :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2).contiguous()


def settings_of(optimizer: torch.optim.Optimizer) -> str:
    """Return the class of an optimizer and the options of its groups of parameters, but for the learning rate."""
    groups = [
        ", ".join(f"{name}={value}" for name, value in group.items() if name not in ("params", "lr"))
        for group in optimizer.param_groups
    ]
    return f"{type(optimizer).__name__}({'; '.join(groups)})"


def callable_name(function: Callable[..., object]) -> str:
    """Return the name of a callable, with what `partial` gave it."""
    if isinstance(function, functools.partial):
        given = [*map(repr, function.args), *(f"{name}={value!r}" for name, value in function.keywords.items())]
        return f"{callable_name(function.func)}({', '.join(given)})"
    return str(getattr(function, "__qualname__", type(function).__qualname__))
