"""Linear read-outs: from the network to the brain's rates, and from activity to what was shown."""
