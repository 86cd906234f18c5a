"""Tests of `domain/jobs`."""
