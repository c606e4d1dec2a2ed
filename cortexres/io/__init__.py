"""Files in and out: Datasets, spikes for other tools, recordings from theirs; a write is whole or not at all."""

from cortexres.io.atomic import check_writable, write_bytes, write_text
from cortexres.io.cells import cell_table
from cortexres.io.from_brainscore import from_brainscore, to_brainscore
from cortexres.io.from_mne import from_mne
from cortexres.io.from_neo import from_neo
from cortexres.io.from_pynapple import from_pynapple
from cortexres.io.neo import to_neo
from cortexres.io.netcdf import load, load_stages, save
from cortexres.io.nwb import save_nwb
from cortexres.io.read_nwb import read_nwb
from cortexres.io.sonata import save_sonata
from cortexres.io.streaming import Stream, open_stream, streamed

__all__ = [
    "Stream",
    "cell_table",
    "check_writable",
    "from_brainscore",
    "from_mne",
    "from_neo",
    "from_pynapple",
    "load",
    "load_stages",
    "open_stream",
    "read_nwb",
    "save",
    "save_nwb",
    "save_sonata",
    "streamed",
    "to_brainscore",
    "to_neo",
    "write_bytes",
    "write_text",
]
