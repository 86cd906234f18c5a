"""Figures of what has happened: by minute, from the journal and the times that records carry.

Every query is a range of an index on a time, so a minute costs what happened in it.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain import ledger
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.kernel.batches import batches
from domain.kernel.record import ANY_TIME, Record
from domain.kernel.store import UnitOfWork
from domain.ledger.transaction import Transaction
from domain.monitor.bucket import Step, floor
from domain.monitor.catalog import SeriesName
from domain.payouts.transfer import Transfer
from domain.wallet.withdrawals import Withdrawal

CHUNK = 500  # transfers whose offers are read together

Minutes = dict[datetime, dict[str, float]]


class FactsByMinute:
    """Collects figures from `start` to before `end`."""

    def __init__(self, uow: UnitOfWork, start: datetime, end: datetime) -> None:
        self._uow = uow
        self._within = {**ANY_TIME, "$gte": start, "$lt": end}
        self.minutes: Minutes = defaultdict(lambda: defaultdict(float))

    async def collect(self) -> Minutes:
        await self._captures()
        await self._failures()
        await self._arrivals()
        await self._payouts()
        await self._journal()
        return self.minutes

    def _add(self, at: datetime, figure: str, value: float = 1) -> None:
        self.minutes[floor(at, Step.MINUTE)][figure] += value

    def _add_seconds(self, at: datetime, figure: str, since: datetime) -> None:
        seconds = max(0.0, (at - since).total_seconds())
        self._add(at, figure, seconds)
        minute, longest = self.minutes[floor(at, Step.MINUTE)], f"{figure}_max"
        minute[longest] = max(minute[longest], seconds)

    def _rows(self, kind: type[Record], field: str, **where: Any) -> Any:
        """Documents whose time `field` is within the span, in its order."""
        return self._uow.documents(kind, {**where, field: self._within}, ((field, 1),))

    async def _captures(self) -> None:
        async for row in self._rows(Payment, "captured_at"):
            self._add(row["captured_at"], SeriesName.PAYMENTS_CAPTURED)
            self._add_seconds(row["captured_at"], SeriesName.CAPTURE_SECONDS, row["created_at"])

    async def _failures(self) -> None:
        async for row in self._rows(Payment, "failed_at"):
            reason = row.get("failure") or "unknown"
            self._add(row["failed_at"], f"{SeriesName.PAYMENTS_FAILED}:{reason}")

    async def _arrivals(self) -> None:
        """From the offer to the money in the contractor's wallet."""
        async for rows in batches(self._rows(Transfer, "available_at"), CHUNK):
            paid = [row for row in rows if row.get("offer_id") and not row.get("refill")]
            offered = await self._offered_at(tuple({row["offer_id"] for row in paid}))
            for row in paid:
                at = row["available_at"]
                self._add(at, SeriesName.TRANSFERS_ARRIVED)
                since = offered.get(row["offer_id"], row["created_at"])
                self._add_seconds(at, SeriesName.ARRIVAL_SECONDS, since)

    async def _offered_at(self, ids: tuple[str, ...]) -> Mapping[str, datetime]:
        found = self._uow.documents(Offer, {"_id": ids}, (("_id", 1),))
        return {row["_id"]: row["created_at"] async for row in found}

    async def _payouts(self) -> None:
        async for row in self._rows(Withdrawal, "paid_at"):
            self._add(row["paid_at"], SeriesName.PAYOUTS_PAID)
            self._add_seconds(row["paid_at"], SeriesName.PAYOUT_SECONDS, row["created_at"])
        async for row in self._rows(Withdrawal, "failed_at"):
            self._add(row["failed_at"], SeriesName.PAYOUTS_FAILED)

    async def _journal(self) -> None:
        """What was captured, refunded and paid out, and the change of the platform's balance."""
        for account, named in (
            (ledger.STRIPE, {"captured": SeriesName.CAPTURED, "refunded": SeriesName.REFUNDED}),
            (ledger.BANK, {"paid_out": SeriesName.PAID_OUT}),
            (ledger.PLATFORM, {}),
        ):
            async for row in self._rows(Transaction, "created_at", accounts=account):
                name = SeriesName.COMMISSION if not named else named.get(row["kind"])
                if name:
                    moved = _moved(row, account)
                    amount = moved if name is SeriesName.COMMISSION else abs(moved)
                    self._add(row["created_at"], f"{name}:{row['currency']}", amount)


def _moved(row: Mapping[str, Any], account: str) -> int:
    """The change of an account by a stored transaction."""
    return sum(
        posting["amount"] * ((posting["destination"] == account) - (posting["source"] == account))
        for posting in row["postings"]
    )
