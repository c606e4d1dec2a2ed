"""Residual networks that are recurrent ones, in torch: blocks, recurrence, whole networks, training and recording."""

from cortexres.definitions import list_networks
from cortexres.nn import balance, dale, growth, loops
from cortexres.nn.areas.adjacency import Area, Connection, delay_steps
from cortexres.nn.areas.cornet_rt import CornetRT
from cortexres.nn.areas.cornet_s import CornetS
from cortexres.nn.areas.multistate import MultiState
from cortexres.nn.areas.operators import Downsampling, Upsampling, operator_between
from cortexres.nn.block import Block
from cortexres.nn.chain import Chain, Step, chain_of
from cortexres.nn.inputs import inputs_of
from cortexres.nn.networks.create import build, create
from cortexres.nn.networks.front_end_network import ResidualNetwork
from cortexres.nn.networks.heads import PooledHead
from cortexres.nn.networks.mixed_dilated import MixedDilated
from cortexres.nn.networks.residual_memory import ResidualMemory
from cortexres.nn.networks.staged import Stage, StagedNetwork
from cortexres.nn.networks.stems import ConvolutionalStem, LinearStem
from cortexres.nn.norms import Norm
from cortexres.nn.parameters import parameter_count
from cortexres.nn.recording import Addition, Additions, Recordable, find_additions, record, spatial_mean
from cortexres.nn.recurrent import Recurrent, Trajectory
from cortexres.nn.rnn_equivalent import from_rnn, to_rnn
from cortexres.nn.set_loop import set_loop
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
from cortexres.nn.training import load_network, load_weights, recipes, save_weights, saved_facts, train
from cortexres.nn.transforms import (
    Bottleneck,
    Convolutional,
    Dense,
    Dilated,
    ExcitatoryInhibitory,
    Grouped,
    Inception,
    MultiResidual,
    PreactivatedDense,
    SqueezeExcitation,
)
from cortexres.nn.transforms.looks_linear import LooksLinear, looks_linear_

__all__ = [
    "Addition",
    "Additions",
    "Area",
    "Block",
    "Bottleneck",
    "Chain",
    "Connection",
    "Convolutional",
    "ConvolutionalStem",
    "CornetRT",
    "CornetS",
    "Dense",
    "Dilated",
    "Downsampling",
    "ExcitatoryInhibitory",
    "Grouped",
    "Highway",
    "Identity",
    "Inception",
    "LearnedScale",
    "Linear",
    "LinearStem",
    "LooksLinear",
    "MixedDilated",
    "MultiResidual",
    "MultiState",
    "NoShortcut",
    "Norm",
    "PooledHead",
    "PreactivatedDense",
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
    "Upsampling",
    "ZeroPadding",
    "balance",
    "build",
    "chain_of",
    "create",
    "dale",
    "delay_steps",
    "find_additions",
    "from_rnn",
    "growth",
    "inputs_of",
    "list_networks",
    "load_network",
    "load_weights",
    "looks_linear_",
    "loops",
    "operator_between",
    "parameter_count",
    "recipes",
    "record",
    "save_weights",
    "saved_facts",
    "set_loop",
    "spatial_mean",
    "to_rnn",
    "train",
]
