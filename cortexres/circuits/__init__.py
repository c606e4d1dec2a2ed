"""Cortical circuits simulated with Brian2, which is loaded when a simulation starts and not before."""

from cortexres.circuits import perturb
from cortexres.circuits.silencing import silencing
from cortexres.circuits.simulate import simulate, spikes
from cortexres.definitions import downscaled
from cortexres.definitions import load_circuit as load

__all__ = ["downscaled", "load", "perturb", "silencing", "simulate", "spikes"]
