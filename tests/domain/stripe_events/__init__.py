"""Tests of `domain/stripe_events`."""
