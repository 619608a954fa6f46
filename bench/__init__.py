"""Benchmarks: one file a claim, the peer beside it in the same run, nothing tuned that a user would not have."""
