"""Journal records: postings and the transactions that they form."""

from typing import Annotated

import msgspec

from domain.kernel.bounds import Bounded
from domain.kernel.fields import Currency, about
from domain.kernel.record import Index, Record


class Posting(msgspec.Struct, frozen=True):
    """`amount` in minor units, above zero, moves from `source` to `destination`."""

    source: Annotated[str, about("The account that it leaves, such as escrow:ofr_...")]
    destination: Annotated[
        str, about("The account that it reaches, such as wallet:usr_...:pending.")
    ]
    amount: Annotated[int, about("Above zero, in minor units of the transaction's currency.")]


class Transaction(Record, frozen=True):
    """One immutable entry of the journal. `users` see it in their history."""

    COLLECTION = "transactions"
    PREFIX = "txn"
    DEED = "kind"
    INDEXES = (
        Index((("fact", 1),), unique=True),
        Index((("users", 1), ("_id", -1))),
        Index((("users", 1), ("offer_id", 1), ("_id", -1))),
        Index((("accounts", 1), ("created_at", 1))),
        Index((("accounts", 1), ("_id", -1))),
        Index((("users", 1), ("created_at", 1), ("_id", 1))),
        Index((("offer_id", 1),), where={"offer_id": {"$gt": ""}}),
        Index((("withdrawal_id", 1),), where={"withdrawal_id": {"$gt": ""}}),
        Index((("kind", 1), ("_id", -1))),
    )
    PRIVATE = frozenset({"users", "accounts"})

    fact: Annotated[str, about("Its unique name, such as capture:pay_...")]
    kind: Annotated[str, about("What kind of movement it is.")]
    currency: Currency
    postings: Annotated[tuple[Posting, ...], Bounded(200), about("What moved from where to where.")]
    accounts: Annotated[tuple[str, ...], Bounded(200)]
    users: Annotated[tuple[str, ...], Bounded(200)] = ()
    offer_id: Annotated[str | None, about("The id of the offer; null if it is about none.")] = None
    withdrawal_id: Annotated[
        str | None, about("The id of the withdrawal; null if it is about none.")
    ] = None
