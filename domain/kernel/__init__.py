"""The foundation that all contexts share: storage, records, outbox, errors, money and actors.
It imports no other package of the domain."""
