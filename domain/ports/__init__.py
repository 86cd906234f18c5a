"""Protocols of what the domain uses from outside; `server` implements them."""
