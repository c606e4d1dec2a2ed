"""What an area is given in a step, and what its lateral recurrence adds."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from cortexres.nn.block import Block
from cortexres.nn.transforms.transform import Transform

Split = Literal["parts", "alone"]


class Parts(NamedTuple):
    """The two terms of a step's sum, None for no lateral recurrence, and the state that came of it."""

    carried: Tensor
    update: Tensor | None
    state: Tensor


def split_alone(
    block: Block, state: Tensor, drive: Tensor | None, step: int, parts: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the `parts` of a block, but carried is what F makes of a drive inside it without the state."""
    transform = cast("Transform", block.transform)
    if drive is None or not transform.takes_drive:
        return parts
    carried, added = block.shortcut(state, transform(torch.zeros_like(state), drive, step), step)
    return carried + added, (parts[0] + parts[1]) - (carried + added)
