"""Files in and out: netCDF for Datasets, and text and bytes; every write is whole or does not happen."""

from cortexres.io.atomic import check_writable, write_bytes, write_text
from cortexres.io.netcdf import load, save

__all__ = ["check_writable", "load", "save", "write_bytes", "write_text"]
