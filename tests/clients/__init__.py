"""The clients of `static/client`, against real servers."""
