"""An input that may be filled anew before the backward pass, unless gradients of gradients are taken.

What autograd saves must stay as it is. The plain loop saves no drive, since a sum does not need its terms; a loop whose
backward pass is written by hand needs it for gradients of gradients alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Refilled:
    """An input without a gradient, and the version that a run has read.

    Parameters
    ----------
    tensor : Tensor
        Of its memory and version counter.
    version : int
        How often it had been changed in place.
    """

    tensor: Tensor
    version: int

    @classmethod
    def of(cls, tensor: Tensor | None) -> Refilled | None:
        """Return what may be filled anew; None where there is nothing, or autograd needs it as it is."""
        return None if tensor is None or tensor.requires_grad else cls(tensor.detach(), tensor._version)

    def as_it_was(self) -> Tensor:
        """Return the tensor, if it is still that of the run.

        Raises
        ------
        RuntimeError
            If it is not, as torch raises for a tensor that it has saved.
        """
        if self.tensor._version != self.version:
            raise RuntimeError(
                "got an input that was modified by an inplace operation after the run, expected that of the run: "
                "gradients of gradients, and many at once, need it; give a copy of the input, or loop=Plain()"
            )
        return self.tensor
