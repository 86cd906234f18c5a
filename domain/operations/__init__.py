"""Operations: commands, execution, idempotency, rate limits, audit log and tasks.
Other contexts declare operations and tasks; this package runs and records them."""
