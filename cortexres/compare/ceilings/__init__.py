"""Noise ceilings: how alike the data are to themselves, which is the most that a model can be asked for."""

from cortexres.compare.ceilings.split_half import halves, split_half

__all__ = ["halves", "split_half"]
