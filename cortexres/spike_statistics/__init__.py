"""Statistics of spike trains: rates, irregularity, rhythms, synchrony, correlation, bursts.

`trains` sorts the spikes of a simulation or recording into groups of cells; each measure takes one group. `statistics`
is all of them as one Dataset. Runs (trials) are never joined: intervals, bins and spectra lie inside one run.
"""

from cortexres.spike_statistics.correlations import mean_correlation, synchrony
from cortexres.spike_statistics.intervals import BURST_MS, Bursts, bursts, interval_cv
from cortexres.spike_statistics.rates import peak_rate_Hz, population_rate_Hz, rate_Hz, silent_fraction
from cortexres.spike_statistics.rhythms import peak_Hz, spectrum
from cortexres.spike_statistics.spike_trains import GROUPS, Trains, joined, of_runs, trains
from cortexres.spike_statistics.table import statistics

__all__ = [
    "BURST_MS",
    "GROUPS",
    "Bursts",
    "Trains",
    "bursts",
    "interval_cv",
    "joined",
    "mean_correlation",
    "of_runs",
    "peak_Hz",
    "peak_rate_Hz",
    "population_rate_Hz",
    "rate_Hz",
    "silent_fraction",
    "spectrum",
    "statistics",
    "synchrony",
    "trains",
]
