"""Tests of `domain/ledger`."""
