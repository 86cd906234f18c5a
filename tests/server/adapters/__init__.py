"""Tests of `server/adapters`."""
