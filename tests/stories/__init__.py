"""Whole stories: in one process, with the JavaScript client, and in a browser."""
