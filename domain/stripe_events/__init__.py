"""The inbox of Stripe's webhook events: stored first, then processed, and replayed on demand."""
