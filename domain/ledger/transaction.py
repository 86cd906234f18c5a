"""Journal records: postings and the transactions that they form."""

from typing import Annotated

import msgspec

from domain.kernel.bounds import Bounded
from domain.kernel.record import Index, Record


class Posting(msgspec.Struct, frozen=True):
    """`amount` in minor units, above zero, moves from `source` to `destination`."""

    source: str
    destination: str
    amount: int


class Transaction(Record, frozen=True):
    """One immutable entry of the journal. `users` see it in their history."""

    COLLECTION = "transactions"
    PREFIX = "txn"
    INDEXES = (
        Index((("fact", 1),), unique=True),
        Index((("users", 1), ("_id", -1))),
        Index((("accounts", 1), ("created_at", 1))),
        Index((("users", 1), ("created_at", 1), ("_id", 1))),
        Index((("offer_id", 1),), where={"offer_id": {"$gt": ""}}),
        Index((("kind", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"users", "accounts"})

    fact: str
    kind: str
    currency: str
    postings: Annotated[tuple[Posting, ...], Bounded(200)]
    accounts: Annotated[tuple[str, ...], Bounded(200)]
    users: Annotated[tuple[str, ...], Bounded(200)] = ()
    offer_id: str | None = None
    withdrawal_id: str | None = None
