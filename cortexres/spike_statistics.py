"""Statistics of spike trains: rates, irregularity, rhythms, synchrony and bursts."""
