"""The live monitor: the figures of processes, and of the market over time."""
