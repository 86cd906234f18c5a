"""Double-entry bookkeeping: chart of accounts, transactions, bookings and balances.

The package is used as one module, so it re-exports what the other contexts need of its files.
"""

from domain.ledger.balances import (
    SETTLED_AFTER,
    Balance,
    Purse,
    Snapshot,
    balance_of,
    balance_since,
    purse_of,
    purses_of,
    take_snapshot,
    total_escrow,
)
from domain.ledger.booking import WALLET_UPDATED, book, booked, flows
from domain.ledger.chart import (
    BANK,
    LOSSES,
    PLATFORM,
    STRIPE,
    STRIPE_FEES,
    SUMMED_UP,
    UNBOUNDED,
    available,
    chargeback,
    debt,
    escrow,
    held,
    in_transit,
    is_bounded,
    pending,
)
from domain.ledger.transaction import Posting, Transaction

__all__ = [
    "BANK",
    "LOSSES",
    "PLATFORM",
    "SETTLED_AFTER",
    "STRIPE",
    "STRIPE_FEES",
    "SUMMED_UP",
    "UNBOUNDED",
    "WALLET_UPDATED",
    "Balance",
    "Posting",
    "Purse",
    "Snapshot",
    "Transaction",
    "available",
    "balance_of",
    "balance_since",
    "book",
    "booked",
    "chargeback",
    "debt",
    "escrow",
    "flows",
    "held",
    "in_transit",
    "is_bounded",
    "pending",
    "purse_of",
    "purses_of",
    "take_snapshot",
    "total_escrow",
]
