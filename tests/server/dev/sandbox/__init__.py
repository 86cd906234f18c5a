"""Tests of the Stripe sandbox."""
