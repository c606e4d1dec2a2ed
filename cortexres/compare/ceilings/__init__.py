"""Noise ceilings: how alike the data are to themselves, which is the most that a model can be asked for."""

from cortexres.compare.ceilings.dissimilarities import dissimilarity_ceiling
from cortexres.compare.ceilings.explained import variance_ceiling
from cortexres.compare.ceilings.paired_runs import paired_ceiling, paired_difference
from cortexres.compare.ceilings.split_half import halves
from cortexres.compare.ceilings.subjects import subject_ceiling
from cortexres.compare.ceilings.trials import trial_ceiling

__all__ = [
    "dissimilarity_ceiling",
    "halves",
    "paired_ceiling",
    "paired_difference",
    "subject_ceiling",
    "trial_ceiling",
    "variance_ceiling",
]
