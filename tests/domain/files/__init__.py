"""Tests of `domain/files`."""
