"""Is a data set sound: duplicates, leaks, unphysical labels, wrong signs and units, mixed settings."""
