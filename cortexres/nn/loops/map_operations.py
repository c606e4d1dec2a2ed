"""What the residual functions of maps are made of, forward and backward: convolutions, norms, activations, sums.

Each operation rounds as the module that it stands for, since it calls the same function of torch, in place where
nobody else needs what it overwrites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from cortexres.nn.norms import StepNorm

Values = Sequence[Tensor | None]
Kept = tuple[Tensor | None, ...]


class Operation(Protocol):
    """One operation of F; its parameters are positions in a list of values."""

    def positions(self) -> tuple[int | None, ...]:
        """Return where its parameters are among the values."""
        ...

    def elementary(self, x: Tensor, values: Values, drive: Tensor | None, step: int) -> Tensor:
        """Return what it makes of `x` by operations that autograd knows; no statistics are updated."""
        ...


@dataclass(frozen=True)
class Convolution:
    """``W * x + b``, of stride 1."""

    weight: int
    bias: int | None
    padding: tuple[int, int]

    def positions(self) -> tuple[int | None, ...]:
        """Return where W and b are."""
        return self.weight, self.bias

    def elementary(self, x: Tensor, values: Values, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return ``W * x + b``."""
        weight = values[self.weight]
        assert weight is not None
        return functional.conv2d(x, weight, at(values, self.bias), padding=self.padding)

    def gradient_of_input(self, gradient: Tensor, x: Tensor, values: Values) -> Tensor:
        """Return the gradient of `x`, for that of ``W * x + b``."""
        return self._gradients(gradient, x, values, of_input=True)[0]

    def gradient_of_weight(self, gradient: Tensor, x: Tensor, values: Values) -> Tensor:
        """Return the gradient of W."""
        return self._gradients(gradient, x, values, of_input=False)[1]

    def _gradients(self, gradient: Tensor, x: Tensor, values: Values, *, of_input: bool) -> tuple[Tensor, ...]:
        mask = [of_input, not of_input, False]  # that of b is a sum; torch takes it faster and more exactly alone
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward.default(
            gradient, x, values[self.weight], None, [1, 1], list(self.padding), [1, 1], False, [0, 0], 1, mask
        )
        return found


@dataclass(frozen=True)
class Activation:
    """tanh or ReLU."""

    name: str

    def positions(self) -> tuple[int | None, ...]:
        """Return nothing: it has no parameters."""
        return ()

    def elementary(self, x: Tensor, values: Values, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return its value at `x`."""
        return torch.tanh(x) if self.name == "tanh" else torch.relu(x)

    def into(self, x: Tensor, out: Tensor) -> Tensor:
        """Return its value at `x`, written to `out`, which may be `x`."""
        return torch.tanh(x, out=out) if self.name == "tanh" else torch.clamp_min(x, 0, out=out)

    def backward(self, gradient: Tensor, y: Tensor, out: Tensor) -> Tensor:
        """Return the gradient of its input, of its value and the gradient of that, written to `out`."""
        if self.name == "tanh":
            torch.ops.aten.tanh_backward.grad_input(gradient, y, grad_input=out)
        else:
            torch.ops.aten.threshold_backward.grad_input(gradient, y, 0, grad_input=out)
        return out


@dataclass(frozen=True, eq=False)
class Normalisation:
    """Batch, group or layer normalisation with what belongs to a step."""

    norm: StepNorm
    weight: int | None
    bias: int | None

    def positions(self) -> tuple[int | None, ...]:
        """Return where the scales and shifts of all steps are."""
        return self.weight, self.bias

    def elementary(self, x: Tensor, values: Values, drive: Tensor | None, step: int) -> Tensor:
        """Return `x` normalised."""
        weight, bias = row(at(values, self.weight), step), row(at(values, self.bias), step)
        recipe = self.norm.recipe
        if recipe.kind != "batch":
            return functional.group_norm(x, self.groups, weight, bias, recipe.eps)
        mean, var = (None, None) if self.norm.training else self._statistics(step)
        return functional.batch_norm(x, mean, var, weight, bias, self.norm.training, recipe.momentum, recipe.eps)

    @property
    def groups(self) -> int:
        """Return the number of groups of channels; a layer is one."""
        return self.norm.recipe.groups if self.norm.recipe.kind == "group" else 1

    def forward(self, x: Tensor, values: Values, step: int) -> tuple[Tensor, Kept]:
        """Return (`x` normalised, what its gradient needs); statistics of the batch move as in the module."""
        weight, bias = row(at(values, self.weight), step), row(at(values, self.bias), step)
        norm, recipe = self.norm, self.norm.recipe
        if recipe.kind != "batch":
            x = x.contiguous(memory_format=_own_format(x)) if x.device.type == "cpu" else x.contiguous()
            y, mean, rstd = torch.native_group_norm(x, weight, bias, *_sizes(x), self.groups, recipe.eps)
            return y, (x, mean, rstd)
        running = self._statistics(step)
        if norm.training:
            norm.num_batches_tracked[min(step, len(norm.num_batches_tracked) - 1)] += 1
        y, mean, scale, reserve, kind = torch._batch_norm_impl_index(
            x, weight, bias, *running, norm.training, recipe.momentum, recipe.eps, torch.backends.cudnn.enabled
        )
        # which implementation it was is one of a few numbers, kept as a tensor beside the others
        own = (None, None) if norm.training else running
        return y, (x, mean, scale, reserve, torch.tensor(kind), *own)

    def backward(
        self, gradient: Tensor, kept: Kept, values: Values, step: int, mask: tuple[bool, bool, bool]
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of (x, scales of the step, shifts of the step), None for what is not asked for."""
        weight, recipe = row(at(values, self.weight), step), self.norm.recipe
        found: tuple[Tensor | None, ...]
        if recipe.kind != "batch":
            x, mean, rstd = kept
            assert x is not None
            gradient = gradient.contiguous(memory_format=_own_format(x))
            # that of x is always asked for: without it, torch 2.13 writes to memory that is not there in channels_last
            found = torch.ops.aten.native_group_norm_backward(
                gradient, x, mean, rstd, weight, *_sizes(x), self.groups, [True, *mask[1:]]
            )
            return found
        x, mean, scale, reserve, kind, *running = kept
        assert kind is not None
        found = torch.ops.aten._batch_norm_impl_index_backward(
            int(kind), x, gradient, weight, *running, mean, scale, running[0] is None, recipe.eps, list(mask), reserve
        )
        return found

    def _statistics(self, step: int) -> tuple[Tensor, Tensor]:
        mean, var = row(self.norm.running_mean, step), row(self.norm.running_var, step)
        assert mean is not None
        assert var is not None
        return mean, var


@dataclass(frozen=True)
class Entering:
    """The drive, added inside F."""

    def positions(self) -> tuple[int | None, ...]:
        """Return nothing: it has no parameters."""
        return ()

    def elementary(self, x: Tensor, values: Values, drive: Tensor | None, step: int) -> Tensor:
        """Return ``x + u``."""
        assert drive is not None
        return x + drive


@dataclass(frozen=True)
class Bias:
    """A bias for each channel, added after the drive."""

    value: int

    def positions(self) -> tuple[int | None, ...]:
        """Return where the bias is."""
        return (self.value,)

    def elementary(self, x: Tensor, values: Values, drive: Tensor | None = None, step: int = 0) -> Tensor:
        """Return ``x + b``."""
        return x + self.of(values)

    def of(self, values: Values) -> Tensor:
        """Return b as it is added, (channel, 1, 1)."""
        bias = values[self.value]
        assert bias is not None
        return bias.view(-1, 1, 1)


def at(values: Values, position: int | None) -> Tensor | None:
    """Return a value; None where there is none."""
    return None if position is None else values[position]


def row(rows: Tensor | None, step: int) -> Tensor | None:
    """Return what belongs to a step, or to all where there is one row for all."""
    return None if rows is None else rows[min(step, len(rows) - 1)]


def _own_format(x: Tensor) -> torch.memory_format:
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format


def _sizes(x: Tensor) -> tuple[int, int, int]:
    """Return (batch, channels, positions)."""
    return x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
