"""Benchmarks: `make bench`. Speed as a ratio to the rate at which the same archive merely inflates, in the same run."""
