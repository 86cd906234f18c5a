"""Payments: the hold, the capture, refunds and saved payment methods at Stripe."""
