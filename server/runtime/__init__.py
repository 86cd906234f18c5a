"""Helpers of the event loop and of temporary files that know nothing of the marketplace."""
