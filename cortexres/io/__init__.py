"""Files in and out: netCDF for Datasets, text and bytes, and spikes for other tools; a write is whole or not at all."""

from cortexres.io.atomic import check_writable, write_bytes, write_text
from cortexres.io.cells import cell_table
from cortexres.io.neo import to_neo
from cortexres.io.netcdf import load, load_stages, save
from cortexres.io.nwb import save_nwb
from cortexres.io.sonata import save_sonata
from cortexres.io.streaming import Stream, open_stream, streamed

__all__ = [
    "Stream",
    "cell_table",
    "check_writable",
    "load",
    "load_stages",
    "open_stream",
    "save",
    "save_nwb",
    "save_sonata",
    "streamed",
    "to_neo",
    "write_bytes",
    "write_text",
]
