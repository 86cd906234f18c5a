"""Double-entry bookkeeping: chart of accounts, transactions, bookings and balances.

Other contexts use the package as one module, so it re-exports what they need.
"""

from domain.ledger.balances import (
    SETTLED_AFTER,
    Balance,
    Snapshot,
    WalletBalances,
    balance_of,
    movements_between,
    take_snapshot,
    total_of,
    wallet_of,
    wallets_of,
)
from domain.ledger.booking import WALLET_UPDATED, book, is_booked, postings_for
from domain.ledger.chart import (
    BANK,
    EXCHANGE,
    LOSSES,
    PLATFORM,
    SNAPSHOT_ACCOUNTS,
    STRIPE,
    STRIPE_FEES,
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
    "EXCHANGE",
    "LOSSES",
    "PLATFORM",
    "SETTLED_AFTER",
    "SNAPSHOT_ACCOUNTS",
    "STRIPE",
    "STRIPE_FEES",
    "UNBOUNDED",
    "WALLET_UPDATED",
    "Balance",
    "Posting",
    "Snapshot",
    "Transaction",
    "WalletBalances",
    "available",
    "balance_of",
    "book",
    "chargeback",
    "debt",
    "escrow",
    "held",
    "in_transit",
    "is_booked",
    "is_bounded",
    "movements_between",
    "pending",
    "postings_for",
    "take_snapshot",
    "total_of",
    "wallet_of",
    "wallets_of",
]
