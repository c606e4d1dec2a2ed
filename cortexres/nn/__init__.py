"""Residual networks in torch: transform, block, recurrence, whole networks, training and recording."""

from cortexres.nn.block import Block
from cortexres.nn.networks import ResidualNetwork
from cortexres.nn.record import Recordable, record
from cortexres.nn.recurrent import Recurrent
from cortexres.nn.train import train
from cortexres.nn.transforms import Dense

__all__ = ["Block", "Dense", "Recordable", "Recurrent", "ResidualNetwork", "record", "train"]
