"""Tests of `domain/home`."""
