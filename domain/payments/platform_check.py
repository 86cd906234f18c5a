"""Compares the settings with the platform's account at Stripe, at the start of each server.

A currency that Stripe does not settle shows at the first payment in it otherwise, whose money is
converted, and a method that is not active at the first offer, which fails.
"""

from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import AlertRecord, alert
from domain.ports.method_types import METHOD_TYPES
from domain.ports.payment_gateway import GatewayRefused, GatewayUnknown, PlatformAccount
from domain.ports.ports import Ports


async def check_platform(ports: Ports) -> None:
    """Alert administrators of what does not fit, once until the alert is closed. Without an answer
    of Stripe there is nothing to say."""
    try:
        account = await ports.gateway.platform()
    except (GatewayUnknown, GatewayRefused):
        return
    await ports.store.transact(lambda uow: _compare(uow, account))


async def _compare(uow: UnitOfWork, account: PlatformAccount) -> None:
    for code in uow.rates.currencies:
        if code not in account.currencies:
            await _alert_once(
                uow,
                "currency_not_settled",
                code,
                f"CURRENCY names {code}, but the platform's account at Stripe settles "
                f"{', '.join(account.currencies)} only: payments in {code} would be converted. Add "
                f"a bank account in {code} at Stripe, or remove {code} from CURRENCY.",
            )
    for name in uow.rates.methods:
        if METHOD_TYPES[name].capability not in account.capabilities:
            await _alert_once(
                uow,
                "method_inactive",
                name,
                f"PAYMENT_METHODS names {name}, which is not active at Stripe: every offer fails. "
                f"Activate it in Stripe's dashboard, or remove {name} from PAYMENT_METHODS.",
            )


async def _alert_once(uow: UnitOfWork, kind: str, subject: str, message: str) -> None:
    where = {"subject": subject, "kind": kind, "open": True}
    if await uow.find(AlertRecord, where) is None:
        await alert(uow, kind, subject, message)
