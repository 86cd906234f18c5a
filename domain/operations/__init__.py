"""How one operation runs: command, execution, idempotency, audit log, task."""
