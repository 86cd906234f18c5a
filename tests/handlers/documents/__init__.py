"""Tests of `handlers/documents`."""
