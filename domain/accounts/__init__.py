"""People: registration, sign-in, profiles and sessions. Nothing here knows what a user trades."""
