"""Scores in plain words: what was shown, against which null, and what was not."""

from cortexres.compare.verdicts.findings import Finding, findings
from cortexres.compare.verdicts.verdict import Verdict, verdict

__all__ = ["Finding", "Verdict", "findings", "verdict"]
