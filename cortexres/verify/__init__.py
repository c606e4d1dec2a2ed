"""Rerun what a definition says it reproduces, and lay measured beside published."""

from cortexres.verify.protocols import PROTOCOLS
from cortexres.verify.run import Result, chosen, measure, verify
from cortexres.verify.table import Lines, target_lines, text_table

__all__ = ["PROTOCOLS", "Lines", "Result", "chosen", "measure", "target_lines", "text_table", "verify"]
