"""Background workers: the outbox relay, scheduled jobs and the group commit of messages."""
