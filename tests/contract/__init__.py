"""The wire contract over time: what is stored of it, and what breaks clients."""
