"""Residual networks in torch: transform, block, recurrence, whole networks, training and recording."""

from cortexres.definitions import list_networks
from cortexres.nn import balance, dale
from cortexres.nn.additions import Addition, Additions, find_additions
from cortexres.nn.block import Block
from cortexres.nn.chain import Chain, Step, chain_of
from cortexres.nn.checkpoints import load_network, load_weights, save_weights, saved_facts
from cortexres.nn.create import build, create
from cortexres.nn.heads import PooledHead
from cortexres.nn.inputs import inputs_of
from cortexres.nn.networks import ResidualNetwork
from cortexres.nn.norms import Norm
from cortexres.nn.record import record, spatial_mean
from cortexres.nn.recurrent import Recurrent, Trajectory
from cortexres.nn.residual_memory import ResidualMemory
from cortexres.nn.rnn_equivalent import from_rnn, to_rnn
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
from cortexres.nn.staged import Stage, StagedNetwork
from cortexres.nn.states import Recordable
from cortexres.nn.stems import ConvolutionalStem, LinearStem
from cortexres.nn.train import train
from cortexres.nn.transforms import (
    Bottleneck,
    Convolutional,
    Dense,
    Dilated,
    ExcitatoryInhibitory,
    Grouped,
    Inception,
    MultiResidual,
    SqueezeExcitation,
)

__all__ = [
    "Addition",
    "Additions",
    "Block",
    "Bottleneck",
    "Chain",
    "Convolutional",
    "ConvolutionalStem",
    "Dense",
    "Dilated",
    "ExcitatoryInhibitory",
    "Grouped",
    "Highway",
    "Identity",
    "Inception",
    "LearnedScale",
    "Linear",
    "LinearStem",
    "MultiResidual",
    "NoShortcut",
    "Norm",
    "PooledHead",
    "Projection",
    "Recordable",
    "Recurrent",
    "ResidualMemory",
    "ResidualNetwork",
    "Scaled",
    "SoftAssignment",
    "SqueezeExcitation",
    "Stage",
    "StagedNetwork",
    "Step",
    "Trajectory",
    "ZeroPadding",
    "balance",
    "build",
    "chain_of",
    "create",
    "dale",
    "find_additions",
    "from_rnn",
    "inputs_of",
    "list_networks",
    "load_network",
    "load_weights",
    "record",
    "save_weights",
    "saved_facts",
    "spatial_mean",
    "to_rnn",
    "train",
]
