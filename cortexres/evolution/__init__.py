"""Genetic programming with registers that are written hard or softly, in numpy.

Soft assignment, ``r <- gamma result + (1 - gamma) r``, is the update of a leaky residual block: what evolution makes of
it is the same question as what learning makes of a residual network.
"""

from cortexres.evolution.assignment import assigned
from cortexres.evolution.evolve import Evolution, Search, evolve
from cortexres.evolution.ineffective import ineffective, removal_effects
from cortexres.evolution.landscape import autocorrelation, mutation_walks
from cortexres.evolution.linear_programs import SKIP, Machine, lengths
from cortexres.evolution.problems import EXACT, PROBLEMS, Problem, problem
from cortexres.evolution.variation import crossed, mutated
from cortexres.evolution.writes import errors_of_writes

__all__ = [
    "EXACT",
    "PROBLEMS",
    "SKIP",
    "Evolution",
    "Machine",
    "Problem",
    "Search",
    "assigned",
    "autocorrelation",
    "crossed",
    "errors_of_writes",
    "evolve",
    "ineffective",
    "lengths",
    "mutated",
    "mutation_walks",
    "problem",
    "removal_effects",
]
