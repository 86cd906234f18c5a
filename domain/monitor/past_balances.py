"""The totals of wallets, debts and escrows in the past, summed up from the journal.

They are measured while servers run. This is for a history that was not measured, for
which the journal is read once, from its beginning.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.kernel.store import UnitOfWork
from domain.ledger.chart import kind_of
from domain.ledger.transaction import Transaction
from domain.monitor.catalog import SeriesName

SERIES_OF = {
    "wallet": SeriesName.WALLETS,
    "debt": SeriesName.DEBT,
    "escrow": SeriesName.ESCROW,
}


class PastBalances:
    """Goes through the journal in the order of ids, which is that of the bookings."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._rows = uow.documents(Transaction, {}, (("_id", 1),))
        self._waiting: Mapping[str, Any] | None = None
        self._totals: dict[str, float] = defaultdict(float)

    async def before(self, at: datetime) -> dict[str, float]:
        """The totals by all bookings before `at`, by currency. Each time is later than the last."""
        row = self._waiting or await anext(self._rows, None)
        while row and row["created_at"] < at:
            self._add(row)
            row = await anext(self._rows, None)
        self._waiting = row
        return dict(self._totals)

    def _add(self, row: Mapping[str, Any]) -> None:
        for posting in row["postings"]:
            for account, amount in (
                (posting["source"], -posting["amount"]),
                (posting["destination"], posting["amount"]),
            ):
                if series := SERIES_OF.get(kind_of(account)):
                    self._totals[f"{series}:{row['currency']}"] += amount
