"""Tests of `domain/presence`."""
