"""Proves the books: the journal against Stripe's lines and against itself, and follows up what is
overdue."""
