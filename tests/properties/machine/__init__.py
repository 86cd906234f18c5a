"""Random commands, faults, news and crashes from all sides, and what must hold all the same."""
