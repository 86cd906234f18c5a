"""Property tests: random deals, and a machine of random commands and faults."""
