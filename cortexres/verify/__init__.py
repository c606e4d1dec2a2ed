"""Rerun what a definition says it reproduces, and lay measured beside published."""
