"""Tests of `domain/payouts`."""
