"""Sends an account at Stripe what it lacks, once its owner has repaid that.

A payout that was not requested here broke a promise: to a reversal, to a withdrawal, or to money
that a chargeback holds. Its owner owes the amount (`shortfall.py`), and later earnings pay it. If
Stripe refuses the reversal then, it is given up. But if the promise is kept with later earnings, or
falls away, these are missing at Stripe. The platform has them, and transfers them.
"""

from domain import ledger
from domain.accounts.user import User
from domain.kernel.money import CURRENCIES, display
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications import notices
from domain.notifications.text import WALLET
from domain.operations.task import Task
from domain.payouts.allocation import add_transfer
from domain.payouts.shortfall import shortfalls_of, take_shortfalls
from domain.payouts.transfer import Reversal
from domain.ports.ports import Ports


async def refill_later(uow: UnitOfWork, user_id: str, currency: str) -> None:
    """Send a contractor's accounts what they lack, if they lack anything, after a promise was kept
    or fell away."""
    user = await uow.get(User, user_id)
    accounts = [*user.closed_accounts, *([user.connect_id] if user.connect_id else [])]
    if await shortfalls_of(uow, accounts, currency):
        uow.later(RefillAccount(user_id, currency))


class RefillAccount(Task, frozen=True, tag="refill_account"):
    """Transfer what a contractor's accounts lack beyond what is owed or promised."""

    user_id: str
    currency: str

    async def run(self, ports: Ports) -> None:
        await ports.store.transact(self._refill)

    async def _refill(self, uow: UnitOfWork) -> None:
        user = await uow.get(User, self.user_id)
        await self._replace(uow, user.closed_accounts)
        if user.connect_id:
            left = await self._unexplained(uow, (*user.closed_accounts, user.connect_id))
            part = await take_shortfalls(uow, (user.connect_id,), self.currency, left)
            if part:
                await add_transfer(
                    uow, user.id, self.currency, part, None, parked=False, refill=True
                )

    async def _replace(self, uow: UnitOfWork, closed: tuple[str, ...]) -> None:
        """What closed accounts lack is stranded only in the books: transfer it to the next one."""
        wallet = await ledger.wallet_of(uow, self.user_id, self.currency)
        left = min(wallet.stranded, await self._unexplained(uow, closed))
        part = await take_shortfalls(uow, closed, self.currency, left)
        if part:
            there, way = ledger.stranded(self.user_id), ledger.pending(self.user_id)
            await ledger.book(
                uow,
                f"stranded_returned:{new_id('str')}",
                "stranded_returned",
                self.currency,
                [ledger.Posting(there, way, part)],
                users=[self.user_id],
            )
            await add_transfer(uow, self.user_id, self.currency, part, None, parked=False)
            amount = display(part, self.currency)
            title = f"{amount} of your old account at Stripe is on its way to your wallet again"
            text = "You had repaid what was missing there."
            to = [self.user_id]
            await notices.notify(
                uow, to, "stranded_settled", title, text, self.user_id, path=WALLET
            )

    async def _unexplained(self, uow: UnitOfWork, accounts: tuple[str, ...]) -> int:
        """What these accounts lack, in whole steps, without what is owed, and without what may be
        paid out or taken back although it is not there."""
        lacking = await shortfalls_of(uow, accounts, self.currency)
        if not lacking:
            return 0
        wallet = await ledger.wallet_of(uow, self.user_id, self.currency)
        waiting = await uow.all(Reversal, {"user_id": self.user_id, "done": False})
        promised = sum(each.amount for each in waiting if each.currency == self.currency)
        promised += wallet.held + wallet.in_transit - wallet.debt
        left = max(0, sum(each.amount for each in lacking) - promised)
        return left - left % CURRENCIES[self.currency].step
