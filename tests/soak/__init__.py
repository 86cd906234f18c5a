"""The soak test: many clients while processes are killed and Redis stops; nothing is lost."""
