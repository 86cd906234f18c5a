"""Tests of `domain/reconciliation`."""
