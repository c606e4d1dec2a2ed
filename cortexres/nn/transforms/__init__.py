"""Residual functions F: what a block computes from its state and its drive, to be added to what it carries."""

from cortexres.nn.transforms.bottleneck import Bottleneck
from cortexres.nn.transforms.convolutional import Convolutional
from cortexres.nn.transforms.dense import Dense
from cortexres.nn.transforms.dilated import Dilated
from cortexres.nn.transforms.excitatory_inhibitory import ExcitatoryInhibitory
from cortexres.nn.transforms.grouped import Grouped
from cortexres.nn.transforms.inception import Inception
from cortexres.nn.transforms.looks_linear import LooksLinear
from cortexres.nn.transforms.multi_residual import MultiResidual
from cortexres.nn.transforms.preactivated_dense import PreactivatedDense
from cortexres.nn.transforms.squeeze_excitation import SqueezeExcitation
from cortexres.nn.transforms.transform import Transform

__all__ = [
    "Bottleneck",
    "Convolutional",
    "Dense",
    "Dilated",
    "ExcitatoryInhibitory",
    "Grouped",
    "Inception",
    "LooksLinear",
    "MultiResidual",
    "PreactivatedDense",
    "SqueezeExcitation",
    "Transform",
]
