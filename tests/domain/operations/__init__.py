"""Tests of `domain/operations`."""
