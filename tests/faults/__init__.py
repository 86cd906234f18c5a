"""Failures of the real parts, injected into real processes."""
