"""People: registration, sign-in, profiles and sessions. Knows nothing of jobs or money."""
