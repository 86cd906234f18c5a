"""The back office: what administrators list, decide and correct. It stands on top of every other
context."""
