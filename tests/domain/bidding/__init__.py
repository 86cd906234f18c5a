"""Tests of `domain/bidding`."""
