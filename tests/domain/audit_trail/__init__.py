"""Tests of `domain/audit_trail`."""
