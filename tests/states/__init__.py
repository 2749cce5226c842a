"""The shapes of states that are kept as snapshots, one file for each version of each."""
