"""Null hypotheses: what a score would be if one thing about brain or network did not matter.

A null is an object with a ``name``, a ``claim`` (what its rejection shows) and ``draw(brain, network, rng)``, which
returns both under the null. Two are joined by ``&``. `null_scores` holds any score against any of them.
"""

from cortexres.compare.nulls.blocks import ShuffledBlocks
from cortexres.compare.nulls.constant import ConstantTrace, constant_trace
from cortexres.compare.nulls.exceedance import exceedance, p_value
from cortexres.compare.nulls.leak import LeakOnly
from cortexres.compare.nulls.models import ModelNull
from cortexres.compare.nulls.null import Composed, Null
from cortexres.compare.nulls.phases import PhaseRandomised
from cortexres.compare.nulls.scores import null_scores
from cortexres.compare.nulls.shifts import CircularShift
from cortexres.compare.nulls.stimuli import StimulusNull, permute_stimuli

__all__ = [
    "CircularShift",
    "Composed",
    "ConstantTrace",
    "LeakOnly",
    "ModelNull",
    "Null",
    "PhaseRandomised",
    "ShuffledBlocks",
    "StimulusNull",
    "constant_trace",
    "exceedance",
    "null_scores",
    "p_value",
    "permute_stimuli",
]
