"""Jobs: posting, search, saved searches, applications and live viewers."""
