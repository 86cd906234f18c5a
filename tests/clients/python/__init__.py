"""Tests of the Python client package, against real servers."""
