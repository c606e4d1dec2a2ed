"""Brian2, imported once and safely: it evaluates a file `brian_preferences` that it finds in the working directory."""

from __future__ import annotations

import os
import tempfile

_before = os.getcwd()
with tempfile.TemporaryDirectory(prefix="cortexres-brian-") as _empty:
    os.chdir(_empty)
    try:
        import brian2
    finally:
        os.chdir(_before)

__all__ = ["brian2"]
