"""Tests of `domain/monitor`."""
