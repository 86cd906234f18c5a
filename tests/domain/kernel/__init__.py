"""Tests of `domain/kernel`."""
