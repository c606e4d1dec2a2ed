"""Residual functions F: what a block computes from its state and its drive, to be added to what it carries."""

from cortexres.nn.transforms.dense import Dense
from cortexres.nn.transforms.transform import Transform

__all__ = ["Dense", "Transform"]
