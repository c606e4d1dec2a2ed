"""The old place of `cortexres.compare.ceilings`."""

from cortexres.compare.ceilings.split_half import halves, split_half

__all__ = ["halves", "split_half"]
