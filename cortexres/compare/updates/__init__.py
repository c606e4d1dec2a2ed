"""Updates and changes: what each block adds against what the brain gains, component by component, lesion by lesion."""

from cortexres.compare.updates.against_velocity import updates_against_velocity
from cortexres.compare.updates.components import components
from cortexres.compare.updates.iteration import iteration_indices, recurrence_index
from cortexres.compare.updates.lesion_profiles import lesion_profile
from cortexres.compare.updates.matched_units import matched_cosine, matched_specific
from cortexres.compare.updates.pooled import update_scores

__all__ = [
    "components",
    "iteration_indices",
    "lesion_profile",
    "matched_cosine",
    "matched_specific",
    "recurrence_index",
    "update_scores",
    "updates_against_velocity",
]
