"""What a network of several states is made of: areas, the connections between them, and how they unfold in time."""

from cortexres.nn.areas.adjacency import Area, Connection, Wire, delay_steps
from cortexres.nn.areas.operators import Downsampling, Upsampling, operator_between

__all__ = ["Area", "Connection", "Downsampling", "Upsampling", "Wire", "delay_steps", "operator_between"]
