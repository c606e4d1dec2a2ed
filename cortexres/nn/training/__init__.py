"""Training: one plain loop, recipes for it, checkpoints that survive a kill, several processes."""

from cortexres.nn.training.checkpoints import load_network, load_weights, save_weights, saved_facts
from cortexres.nn.training.train import train

__all__ = ["load_network", "load_weights", "save_weights", "saved_facts", "train"]
