"""Is a cortical area a residual network unrolled in time? Spiking circuits, networks derived from them, comparison.

Importing this package loads only the version; import the rooms by name: ``from cortexres import circuits, nn``.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
