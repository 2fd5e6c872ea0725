"""Checks of data sets: duplicates, leaks, unphysical labels, wrong signs and units, mixed settings."""
