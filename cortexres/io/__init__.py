"""Files in and out: netCDF for Datasets, and text and bytes; every write is whole or does not happen."""

from cortexres.io.atomic import write_bytes, write_text
from cortexres.io.netcdf import load, save

__all__ = ["load", "save", "write_bytes", "write_text"]
