"""Updates and changes: what each block adds against what the brain gains, component by component, lesion by lesion."""

from cortexres.compare.updates.pooled import update_scores

__all__ = ["update_scores"]
