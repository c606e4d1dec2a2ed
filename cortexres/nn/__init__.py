"""Residual networks in torch: transform, block, recurrence, whole networks, training and recording."""

from cortexres.nn.block import Block
from cortexres.nn.chain import Chain, Step, chain_of
from cortexres.nn.networks import ResidualNetwork
from cortexres.nn.norms import Norm
from cortexres.nn.record import Recordable, record
from cortexres.nn.recurrent import Recurrent, Trajectory
from cortexres.nn.shortcuts import (
    Highway,
    Identity,
    LearnedScale,
    Linear,
    NoShortcut,
    Projection,
    Scaled,
    SoftAssignment,
    ZeroPadding,
)
from cortexres.nn.train import train
from cortexres.nn.transforms import Dense

__all__ = [
    "Block",
    "Chain",
    "Dense",
    "Highway",
    "Identity",
    "LearnedScale",
    "Linear",
    "NoShortcut",
    "Norm",
    "Projection",
    "Recordable",
    "Recurrent",
    "ResidualNetwork",
    "Scaled",
    "SoftAssignment",
    "Step",
    "Trajectory",
    "ZeroPadding",
    "chain_of",
    "record",
    "train",
]
