"""Tests of `domain/fulfillment`."""
