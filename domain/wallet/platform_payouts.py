"""Payouts of the platform's own account, and the check that Stripe makes none by itself.

The platform's balance at Stripe holds the money in escrow as well, so a payout by a schedule takes
what belongs to others. The schedule is set in Stripe's dashboard only. Source: Stripe, "Receive
payouts".
"""

from domain import ledger
from domain.kernel.money import display
from domain.kernel.store import Duplicate, UnitOfWork
from domain.notifications.alerts import AlertRecord, alert
from domain.ports.payment_gateway import BalanceTransaction, GatewayForbidden, GatewayRefused
from domain.ports.ports import Ports

MANUAL = "manual"
SCHEDULE_ALERT = "payout_schedule"


async def check_schedule(ports: Ports) -> None:
    """Alert administrators, once while the alert is open, if Stripe pays out by itself.

    A restricted key that may not read it does not matter: a payout alerts as well.
    """
    try:
        interval = await ports.gateway.payout_interval()
    except (GatewayForbidden, GatewayRefused):
        return
    if interval in (None, MANUAL):
        return

    async def warn(uow: UnitOfWork) -> None:
        same = {"subject": ledger.PLATFORM, "kind": SCHEDULE_ALERT, "open": True}
        if await uow.find(AlertRecord, same) is None:
            await alert(
                uow,
                SCHEDULE_ALERT,
                ledger.PLATFORM,
                f"Stripe pays out the platform's balance by itself ({interval}), with the money in "
                "escrow. Set the payout schedule to manual in Stripe's dashboard, under Settings, "
                "Payouts.",
            )

    await ports.store.transact(warn)


async def book_platform_payout(ports: Ports, line: BalanceTransaction) -> bool:
    """Book what left the platform's balance for its bank, or came from there, once.

    Returns whether it was booked now.
    """

    async def work(uow: UnitOfWork) -> bool:
        fact = f"platform:{line.id}"
        if await ledger.is_booked(uow, fact):
            return False
        postings = ledger.postings_for({ledger.PLATFORM: line.net, ledger.BANK: -line.net})
        await ledger.book(uow, fact, "platform_withdrew", line.currency, postings)
        await _warn_of_escrow(uow, line)
        return True

    try:
        return await ports.store.transact(work)
    except Duplicate:
        return False


async def _warn_of_escrow(uow: UnitOfWork, line: BalanceTransaction) -> None:
    """Alert administrators of a payout of more than the platform has earned."""
    left = (await ledger.balance_of(uow, ledger.PLATFORM)).get(line.currency, 0)
    beyond = min(-line.net, -left)
    if beyond <= 0:
        return
    await alert(
        uow,
        "escrow_paid_out",
        line.source_id or line.id,
        f"{display(-line.net, line.currency)} went to the platform's bank, which is "
        f"{display(beyond, line.currency)} more than the platform had earned: escrow was paid out. "
        "Bring it back by a top-up at Stripe, before refunds and transfers fail.",
    )
