"""Sizes that have to be at least one."""

from __future__ import annotations

from cortexres.errors import ArgumentError


def check_sizes(**sizes: int) -> None:
    """Raise ArgumentError where a size, given by its name, is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ArgumentError(f"got {name}={size}, expected 1 or more")
