"""From a network and stimuli to the network Dataset: x, F(x) and x + F(x) of every block, of any torch model."""

from cortexres.nn.recording.additions import Addition, Additions, find_additions
from cortexres.nn.recording.record import record, spatial_mean
from cortexres.nn.recording.states import Recordable

__all__ = ["Addition", "Additions", "Recordable", "find_additions", "record", "spatial_mean"]
