"""The wire contract: what is stored of it, what breaks clients, and random requests from it."""
