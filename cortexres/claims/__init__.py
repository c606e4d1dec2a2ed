"""Published claims, rerun: what each says, the checks and controls of its script, and all outcomes in one table.

The scripts are in `simulations/claims/`, one per claim.
"""

from cortexres.claims.claim import Check, Claim, Published, Sample, Setting
from cortexres.claims.outcome import Line, Outcome, judge
from cortexres.claims.script import main

__all__ = ["Check", "Claim", "Line", "Outcome", "Published", "Sample", "Setting", "judge", "main"]
