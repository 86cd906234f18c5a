"""Checks at start and hourly whether Stripe is set up for the accounts of contractors and sends the
events that this server needs."""

from collections.abc import Awaitable, Callable

from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import AlertRecord, alert
from domain.ports.payment_gateway import GatewayForbidden, GatewayRefused
from domain.ports.ports import Ports

COUNTRY, WEBHOOKS, ACCOUNT_EVENTS = "platform_country", "webhook_events", "account_events"


async def check_account_settings(ports: Ports) -> None:
    """Alert administrators, once while the alert is open, of what is set up otherwise.

    What a restricted key may not read is not checked: nothing else needs it.
    """
    problems = {}
    for subject, check in CHECKS.items():
        try:
            problem = await check(ports)
        except (GatewayForbidden, GatewayRefused):
            continue
        if problem:
            problems[subject] = problem

    async def warn(uow: UnitOfWork) -> None:
        for subject, text in problems.items():
            same = {"subject": subject, "kind": "stripe_settings", "open": True}
            if await uow.find(AlertRecord, same) is None:
                await alert(uow, "stripe_settings", subject, text)

    if problems:
        await ports.store.transact(warn)


async def _check_country(ports: Ports) -> str | None:
    country = await ports.gateway.platform_country()
    expected = ports.store.rates.platform_country
    if country == expected:
        return None
    return (
        f"The platform's account at Stripe is in {country}, and PLATFORM_COUNTRY says "
        f"{expected}: contractors are offered the wrong countries. Set it to {country}."
    )


async def _check_webhooks(ports: Ports) -> str | None:
    missing = await ports.gateway.missing_webhook_events()
    if not missing:
        return None
    return (
        f"The webhook endpoints at Stripe do not send these events here: {', '.join(missing)}. "
        "What they tell is seen late or not at all. Add them in Stripe's dashboard: those about "
        "accounts to the endpoint for connected accounts, those about payouts to both."
    )


async def _check_account_events(ports: Ports) -> str | None:
    missing = await ports.gateway.missing_account_events()
    if not missing:
        return None
    return (
        f"No event destination at Stripe sends the thin events {', '.join(missing)} here: what "
        "changes on a contractor's account is seen late. Create it in Stripe's dashboard, with "
        "its secret in STRIPE_WEBHOOK_SECRETS."
    )


CHECKS: dict[str, Callable[[Ports], Awaitable[str | None]]] = {
    COUNTRY: _check_country,
    WEBHOOKS: _check_webhooks,
    ACCOUNT_EVENTS: _check_account_events,
}
