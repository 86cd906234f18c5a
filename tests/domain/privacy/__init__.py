"""Tests of `domain/accounts`."""
