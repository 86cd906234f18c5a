"""Tests of `domain/notifications`."""
