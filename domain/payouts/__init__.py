"""Payouts to contractors: allocation of an offer's money, transfers, reversals and their Stripe
accounts."""
