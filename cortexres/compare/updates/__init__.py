"""Updates and changes: what each block adds against what the brain gains, component by component, lesion by lesion."""

from cortexres.compare.updates.against_velocity import updates_against_velocity
from cortexres.compare.updates.matched_units import matched_cosine, matched_specific
from cortexres.compare.updates.pooled import update_scores

__all__ = ["matched_cosine", "matched_specific", "update_scores", "updates_against_velocity"]
