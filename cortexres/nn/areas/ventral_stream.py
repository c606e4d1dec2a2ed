"""The four areas that networks in the style of CORnet have: their names, sizes and what is checked of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cortexres.errors import ArgumentError

AREAS = ("V1", "V2", "V4", "IT")
#: Channels of the four areas: for images of 32 x 32, and as published, for 224 x 224.
SMALL, PUBLISHED = (16, 32, 64, 128), (64, 128, 256, 512)
Retina = Literal["small", "published"]


def check_areas(n_classes: int, channels: Sequence[int], retina: str) -> None:
    """Return nothing if a network can have these.

    Raises
    ------
    ArgumentError
        If there are fewer than two classes, not four areas, or no such retina.
    """
    if n_classes < 2:
        raise ArgumentError(f"got n_classes={n_classes}, expected 2 or more: a classifier needs a choice")
    if len(channels) != len(AREAS):
        raise ArgumentError(f"got channels of {len(channels)} areas, expected {len(AREAS)}: {', '.join(AREAS)}")
    if retina not in ("small", "published"):
        raise ArgumentError(f"got retina={retina!r}, expected 'small' or 'published'")
