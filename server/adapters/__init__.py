"""One file for each thing outside: Stripe, SMTP, S3, Redis sessions, argon2 and the rest. Each
implements a port of the domain."""
