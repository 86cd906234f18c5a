"""How JobSphere runs: configuration, transports, workers, and the composition root."""
