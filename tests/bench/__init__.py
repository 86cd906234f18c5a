"""Load on real processes, always measured against a peer in the same run."""
