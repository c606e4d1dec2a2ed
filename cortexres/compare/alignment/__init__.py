"""Which time of the brain is which block of the network: maps, their intervals, and their score against a null."""
