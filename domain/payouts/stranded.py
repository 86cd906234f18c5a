"""Money on accounts at Stripe that pay nothing out any more: closed ones, and rejected ones.

It is `stranded`: its owner sees it, and it is not offered for withdrawal. Nothing can be reversed
from a closed account, so a refund of what is there is owed. A rejected account still gives money
back. An administrator settles what is stranded, see `admin/stranded_money.py`.
"""

from domain import ledger
from domain.accounts.user import PayoutSetup, User
from domain.kernel.errors import InsufficientFunds
from domain.kernel.money import CURRENCIES
from domain.kernel.store import UnitOfWork, new_id
from domain.operations.task import Task
from domain.payouts.shortfall import take_shortfalls
from domain.payouts.transfer import Reversal, Transfer, TransferStatus
from domain.ports.ports import Ports


def is_account_rejected(user: User) -> bool:
    """Whether Stripe or the platform has rejected the account for good."""
    return user.payout_setup is PayoutSetup.REJECTED


def is_stranded_on(user: User, account_id: str | None) -> bool:
    """Whether money on this account cannot be withdrawn; None is the account that is linked."""
    if account_id in user.closed_accounts:
        return True
    return is_account_rejected(user) and account_id in (None, user.connect_id)


async def arrival(uow: UnitOfWork, user_id: str, account_id: str | None) -> str:
    """The ledger account of money that arrives on an account at Stripe, or becomes free there."""
    user = await uow.get(User, user_id)
    lost = is_stranded_on(user, account_id)
    return ledger.stranded(user_id) if lost else ledger.available(user_id)


async def arrival_of_offer(uow: UnitOfWork, user_id: str, offer_id: str) -> str:
    """The same for money that was transferred for an offer."""
    arrived = (TransferStatus.AVAILABLE, TransferStatus.REVERSED)
    transfers = await uow.all(Transfer, {"offer_id": offer_id, "status": arrived})
    return await arrival(uow, user_id, transfers[0].account_id if transfers else None)


async def strand_available(uow: UnitOfWork, user_id: str) -> None:
    """Book what is available as stranded, in every currency."""
    source, destination = ledger.available(user_id), ledger.stranded(user_id)
    for wallet in await ledger.wallets_of(uow, user_id):
        there = ledger.Posting(source, destination, wallet.available)
        await _move(uow, "stranded", wallet, there)
        await settle_shortfalls(uow, user_id, wallet.currency)


async def settle_shortfalls(uow: UnitOfWork, user_id: str, currency: str) -> None:
    """Let a contractor's money pay what they owe for a payout that was not requested here: what is
    stranded on closed accounts, or available, as far as these accounts lack it. That payout took
    it, so nothing has to be reversed. What stays available is a multiple of the step."""
    user = await uow.get(User, user_id)
    linked = (user.connect_id,) if user.connect_id else ()
    for source, accounts, step in (
        (ledger.stranded(user_id), user.closed_accounts, 1),
        (ledger.available(user_id), linked, CURRENCIES[currency].step),
    ):
        wallet = await ledger.wallet_of(uow, user_id, currency)
        there = wallet.stranded if source == ledger.stranded(user_id) else wallet.available
        most = min(there, -wallet.debt)
        if part := await take_shortfalls(uow, accounts, currency, most - most % step):
            paid = ledger.Posting(source, ledger.debt(user_id), part)
            await _move(uow, "debt_repaid", wallet, paid)


class FollowRejection(Task, frozen=True, tag="follow_rejection"):
    """Strand the money of an account that was rejected; free it if that was taken back.

    What is stranded may also be on closed accounts: then an administrator decides about it.
    """

    user_id: str

    async def run(self, ports: Ports) -> None:
        await ports.store.transact(self._move_money)

    async def _move_money(self, uow: UnitOfWork) -> None:
        user = await uow.get(User, self.user_id)
        if is_account_rejected(user):
            await strand_available(uow, user.id)
        elif not user.closed_accounts:
            source, destination = ledger.stranded(user.id), ledger.available(user.id)
            for wallet in await ledger.wallets_of(uow, user.id):
                back = ledger.Posting(source, destination, wallet.stranded)
                await _move(uow, "unstranded", wallet, back)


async def _move(
    uow: UnitOfWork, kind: str, wallet: ledger.WalletBalances, posting: ledger.Posting
) -> None:
    fact, users = f"{kind}:{new_id('str')}", [wallet.user_id]
    try:
        await ledger.book(uow, fact, kind, wallet.currency, [posting], users=users)
    except InsufficientFunds as raced:  # it was read in this transaction
        raise RuntimeError("the wallet has changed while it was moved") from raced


async def strand_reversal(uow: UnitOfWork, reversal: Reversal) -> bool:
    """Give up a refused reversal from a closed account: its owner owes it, and has it stranded.
    What the account lacked before was given up first (`give_up_reversal`).

    Returns whether it was given up.
    """
    transfer = await uow.get(Transfer, reversal.transfer_id)
    user = await uow.get(User, reversal.user_id)
    if transfer.account_id not in user.closed_accounts:
        return False
    unchanged = {"done": False, "key": reversal.key}
    if await uow.change(
        Reversal, reversal.id, only_if=unchanged, inc={"key": 1}, amount=0, done=True
    ):
        kept = TransferStatus.AVAILABLE
        if transfer.status is not TransferStatus.REVERSED:
            kept = transfer.status
        await uow.change(
            Transfer, transfer.id, inc={"reversed_amount": -reversal.amount}, status=kept
        )
        await ledger.book(
            uow,
            f"stranded:{reversal.id}",
            "stranded",
            reversal.currency,
            [ledger.Posting(ledger.debt(user.id), ledger.stranded(user.id), reversal.amount)],
            users=[user.id],
            offer_id=transfer.offer_id,
        )
    return True
