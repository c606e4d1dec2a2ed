"""Inference over whole maps: permutations, bootstraps, multiple tests, clusters, latencies, selection."""
