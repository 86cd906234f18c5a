"""Benchmarks on real processes, each compared with a peer in the same run."""
