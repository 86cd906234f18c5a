"""Tests of `domain/admin`."""
