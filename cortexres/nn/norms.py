"""Normalisation that knows the step: statistics and affine parameters per step, or shared by all steps.

A block that is applied T times meets another distribution of states at each step. Batch statistics that are shared
by the steps therefore describe none of them, and a network that trained well fails in evaluation without a word.
Liao and Poggio (2016) give every step its own; here that is the default, and sharing is refused in evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from cortexres.errors import ArgumentError
from cortexres.nn.sizes import check_sizes

Kind = Literal["batch", "layer", "group", "rms"]
Sharing = Literal["per_step", "shared"]
Affine = Literal["per_step", "shared", "none"]
KINDS: tuple[Kind, ...] = ("batch", "layer", "group", "rms")


@dataclass(frozen=True)
class Norm:
    """What normalisation a transform shall have; `build` makes the module.

    Parameters
    ----------
    kind : {"batch", "layer", "group", "rms"}
        Over the batch and the positions (batch); over all units of a sample (layer, and rms without centring); over
        groups of channels of a sample (group).
    steps : int
        Number of steps T with parameters or statistics of their own.
    statistics : {"per_step", "shared"}
        Of batch normalisation: one running mean and variance per step, or one for all. The other kinds compute
        theirs from the sample, hence always per step.
    affine : {"per_step", "shared", "none"}
        Scale and shift after the normalisation: per step, one for all, or none.
    groups : int
        Number of groups of ``"group"``.
    eps, momentum : float
        As in torch.
    shared_in_eval : {"raise", "warn", "allow"}
        What happens when batch statistics that several steps share are used in evaluation.
    beyond : {"raise", "last"}
        What happens at a step that has no parameters of its own, since the network runs longer than `steps`:
        it is refused, or it takes those of the last step.

    Raises
    ------
    ArgumentError
        If an option is none of those above, or `steps` or `groups` is below 1.

    References
    ----------
    Liao & Poggio (2016), Bridging the gaps between residual learning, recurrent neural networks and visual cortex,
    arXiv:1604.03640
    Ioffe & Szegedy (2015), arXiv:1502.03167; Ba, Kiros & Hinton (2016), arXiv:1607.06450; Wu & He (2018),
    arXiv:1803.08494; Zhang & Sennrich (2019), arXiv:1910.07467
    """

    kind: Kind
    steps: int = 1
    statistics: Sharing = "per_step"
    affine: Affine = "per_step"
    groups: int = 8
    eps: float = 1e-5
    momentum: float = 0.1
    shared_in_eval: Literal["raise", "warn", "allow"] = "raise"
    beyond: Literal["raise", "last"] = "raise"

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ArgumentError(f"got {name}={getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        check_sizes(steps=self.steps, groups=self.groups)

    def build(
        self, channels: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> StepNorm:
        """Return the module for states of `channels` channels (dim 1)."""
        return StepNorm(self, channels, device=device, dtype=dtype)


_ALLOWED: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "statistics": ("per_step", "shared"),
    "affine": ("per_step", "shared", "none"),
    "shared_in_eval": ("raise", "warn", "allow"),
    "beyond": ("raise", "last"),
}


class StepNorm(nn.Module):
    """Normalisation of (batch, channel, ...) at a step, as its recipe says.

    What belongs to the steps is stacked, one row per step: ``weight`` and ``bias`` (row, channel), and for batch
    normalisation ``running_mean``, ``running_var`` (row, channel) and ``num_batches_tracked`` (row). What is shared
    has one row.

    Parameters
    ----------
    recipe : Norm
        What normalisation.
    channels : int
        Size of dim 1.

    Raises
    ------
    ArgumentError
        If group normalisation cannot divide the channels.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        recipe: Norm,
        channels: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if recipe.kind == "group" and channels % recipe.groups:
            raise ArgumentError(
                f"got {channels} channels in {recipe.groups} groups, expected groups that divide them"
            )
        self.recipe, self.channels = recipe, channels
        if recipe.affine == "none":
            self.register_parameter("weight", None)
        else:
            rows = recipe.steps if recipe.affine == "per_step" else 1
            self.weight = nn.Parameter(torch.empty(rows, channels, device=device, dtype=dtype))
        if recipe.affine == "none" or recipe.kind == "rms":
            self.register_parameter("bias", None)  # a shift would undo what leaving the mean alone is for
        else:
            rows = recipe.steps if recipe.affine == "per_step" else 1
            self.bias = nn.Parameter(torch.empty(rows, channels, device=device, dtype=dtype))
        if recipe.kind == "batch":
            rows = recipe.steps if recipe.statistics == "per_step" else 1
            self.register_buffer("running_mean", torch.empty(rows, channels, device=device, dtype=dtype))
            self.register_buffer("running_var", torch.empty(rows, channels, device=device, dtype=dtype))
            self.register_buffer("num_batches_tracked", torch.empty(rows, device=device, dtype=torch.long))
        self.reset_parameters()

    def reset_parameters(self, rng: object = None) -> None:
        """Set scales to 1, shifts to 0 and the statistics to those of a standard normal; nothing is drawn."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.recipe.kind == "batch":
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """Return `x`, (batch, channel, ...), normalised with what belongs to `step`.

        Raises
        ------
        ArgumentError
            If `step` lies beyond the recipe's steps, or batch statistics that steps share are used in evaluation, and
            the recipe does not allow it.
        """
        row = self._row(step)
        weight = _at(self.weight, row)
        bias = _at(self.bias, row)
        if self.recipe.kind == "batch":
            if not self.training:
                self._check_shared(step)
            return self._batch(x, row, weight, bias)
        if self.recipe.kind in ("group", "layer") and _crashes_torch(x):
            x = x.contiguous()
        if self.recipe.kind == "group":
            return functional.group_norm(x, self.recipe.groups, weight, bias, self.recipe.eps)
        if self.recipe.kind == "layer":
            return functional.group_norm(x, 1, weight, bias, self.recipe.eps)
        flat = x.flatten(1)
        scaled = functional.rms_norm(flat, flat.shape[1:], None, self.recipe.eps).view_as(x)
        return scaled if weight is None else scaled * weight.view(-1, *(1,) * (x.ndim - 2))

    def _row(self, step: int) -> int:
        recipe = self.recipe
        per_step = recipe.affine == "per_step" or (recipe.kind == "batch" and recipe.statistics == "per_step")
        if step < recipe.steps or not per_step:
            return step
        if recipe.beyond == "raise":
            raise ArgumentError(
                f"got step {step + 1}, expected at most {recipe.steps}: the {recipe.kind} normalisation has parameters "
                f"or statistics for {recipe.steps} steps; give Norm(steps={step + 1}), or Norm(beyond='last') to go on "
                "with those of the last"
            )
        return recipe.steps - 1

    def _batch(self, x: Tensor, row: int, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        recipe = self.recipe
        mean, var = _at(self.running_mean, row), _at(self.running_var, row)
        if self.training:
            # F.batch_norm changes the views, that is, the rows of this step.
            self.num_batches_tracked[min(row, len(self.num_batches_tracked) - 1)] += 1
        return functional.batch_norm(x, mean, var, weight, bias, self.training, recipe.momentum, recipe.eps)

    def _check_shared(self, step: int) -> None:
        """Raise or warn, as the recipe says, where several steps share batch statistics."""
        recipe = self.recipe
        if recipe.kind != "batch" or recipe.statistics != "shared" or (recipe.steps == 1 and step == 0):
            return
        message = (
            "got batch statistics that several steps share, expected statistics per step: they describe the states of "
            "no step, and accuracy falls to chance in evaluation; use Norm(statistics='per_step'), or say "
            "Norm(shared_in_eval='allow')"
        )
        if recipe.shared_in_eval == "raise":
            raise ArgumentError(message)
        if recipe.shared_in_eval == "warn":
            warnings.warn(message, stacklevel=2)

    def at_step(self, step: int) -> StepNorm:
        """Return the module that computes alone what this one computes at `step`: a copy of its rows.

        Raises
        ------
        ArgumentError
            As `forward` does in evaluation: alone, a module no longer knows that its statistics were shared.
        """
        row = self._row(step)
        self._check_shared(step)
        single = StepNorm(replace(self.recipe, steps=1), self.channels, device="meta")
        taken = {key: value[min(row, len(value) - 1)].clone()[None] for key, value in self.state_dict().items()}
        single.load_state_dict(taken, strict=True, assign=True)
        return single.train(self.training)

    def merged(self, parts: Sequence[StepNorm], combine: Callable[[str, list[Tensor]], Tensor]) -> StepNorm:
        """Return the module whose step k is the first step of ``parts[k]``: the inverse of `at_step`.

        Parameters
        ----------
        parts : sequence of StepNorm
            One per step, of one recipe.
        combine : callable
            Makes one tensor of those that the steps share, given their name and all of them.
        """
        whole = StepNorm(replace(self.recipe, steps=len(parts)), self.channels, device="meta")
        states = [part.at_step(0).state_dict() for part in parts]
        merged = {}
        for key, empty in whole.state_dict().items():
            rows = [state[key] for state in states]
            merged[key] = torch.cat(rows) if len(empty) == len(parts) else combine(key, rows)
        whole.load_state_dict(merged, strict=True, assign=True)
        return whole.train(self.training)

    def extra_repr(self) -> str:
        """Return what `print(module)` shows in the brackets."""
        recipe = self.recipe
        parts = [recipe.kind, str(self.channels), f"steps={recipe.steps}", f"affine={recipe.affine}"]
        if recipe.kind == "batch":
            parts.insert(3, f"statistics={recipe.statistics}")
        return ", ".join(parts)


def normalised(norm: nn.Module | None, x: Tensor, step: int) -> Tensor:
    """Return `x` normalised at `step`, or as it is where there is no normalisation."""
    if norm is None:
        return x
    out: Tensor = norm(x, step)
    return out


def _at(rows: Tensor | None, row: int) -> Tensor | None:
    """Return the row of a stacked tensor, the only one where the steps share it."""
    return None if rows is None else rows[min(row, len(rows) - 1)]


def _crashes_torch(x: Tensor) -> bool:
    """Return whether torch 2.13 ends the process in the backward pass of a group norm of `x`, on a CPU.

    It does where maps are channels_last and need no gradient themselves, and the scales do.
    """
    return x.device.type == "cpu" and not x.requires_grad and torch.is_grad_enabled() and not x.is_contiguous()


def has_torch_statistics(module: nn.Module) -> bool:
    """Return whether a module keeps batch statistics in a layer of torch, which knows no steps."""
    return any(isinstance(part, _BatchNorm) and part.track_running_stats for part in module.modules())


def warn_of_untrained_steps(network: nn.Module) -> None:
    """Warn where training has set the batch statistics of some steps and not of others.

    Such a network runs for more steps than it was trained for without a word: those steps have mean 0 and variance 1.
    """
    for name, norm in network.named_modules():
        if isinstance(norm, StepNorm) and norm.recipe.kind == "batch":
            seen = norm.num_batches_tracked > 0
            if bool(seen.any()) and not bool(seen.all()):
                warnings.warn(
                    f"{name} has batch statistics for {len(seen)} steps, and training has run {int(seen.sum())} of "
                    f"them; give Norm(steps={int(seen.sum())}), with beyond='last' to go on with those of the last",
                    stacklevel=3,
                )
                return  # the others of a block say the same
