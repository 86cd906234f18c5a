"""Checks at start and hourly whether Stripe is set up for the accounts of contractors."""

from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import AlertRecord, alert
from domain.ports.payment_gateway import GatewayForbidden, GatewayRefused
from domain.ports.ports import Ports

COUNTRY, EVENTS = "platform_country", "account_events"


async def check_account_settings(ports: Ports) -> None:
    """Alert administrators, once while the alert is open, of what is set up otherwise.

    A restricted key that may not read it does not matter: nothing else needs to.
    """
    try:
        country = await ports.gateway.platform_country()
        missing = await ports.gateway.missing_account_events()
    except (GatewayForbidden, GatewayRefused):
        return
    expected = ports.store.rates.platform_country
    problems = []
    if country != expected:
        problems.append(
            (
                COUNTRY,
                f"The platform's account at Stripe is in {country}, and PLATFORM_COUNTRY says "
                f"{expected}: contractors are offered the wrong countries. Set it to {country}.",
            )
        )
    if missing:
        problems.append(
            (
                EVENTS,
                "No event destination at Stripe sends the thin events "
                f"{', '.join(missing)}: what changes on a contractor's account is seen late. "
                "Create it in Stripe's dashboard, with its secret in STRIPE_WEBHOOK_SECRETS.",
            )
        )

    async def warn(uow: UnitOfWork) -> None:
        for subject, text in problems:
            same = {"subject": subject, "kind": "stripe_settings", "open": True}
            if await uow.find(AlertRecord, same) is None:
                await alert(uow, "stripe_settings", subject, text)

    if problems:
        await ports.store.transact(warn)
