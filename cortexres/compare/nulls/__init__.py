"""Null hypotheses: what a score would be if one thing about brain or network did not matter."""

from cortexres.compare.nulls.constant import constant_trace
from cortexres.compare.nulls.exceedance import exceedance
from cortexres.compare.nulls.stimuli import StimulusNull, permute_stimuli

__all__ = ["StimulusNull", "constant_trace", "exceedance", "permute_stimuli"]
