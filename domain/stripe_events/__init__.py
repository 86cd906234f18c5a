"""The inbox of Stripe webhooks: stored first, then processed, replayed on demand."""
