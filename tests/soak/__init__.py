"""A soak: many clients go on while processes are killed and Redis goes away; nothing is lost."""
