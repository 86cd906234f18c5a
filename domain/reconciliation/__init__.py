"""Checks the books: an audit of the whole journal, a daily reconciliation with Stripe's balance
transactions, and follow-up of records that wait for Stripe too long."""
