"""The foundation: storage, records, outbox, errors, money and the values that every context shares.
It imports nothing of the rest."""
