"""What these tests have in common: keys, payments, refusals."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from domain.ports.payment_gateway import GatewayRefused

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
RETURN = "http://shop.test"
METHODS = ("card", "link", "crypto", "us_bank_account")


def key() -> str:
    return secrets.token_hex(8)


async def hold(stripe, method="pm_card_visa", amount=10_000, **more):
    given = {
        "currency": "USD",
        "group": "ofr_1",
        "customer_id": None,
        "key": key(),
        "metadata": {"payment_id": "pay_1"},
        **more,
    }
    return await stripe.hold(amount=amount, payment_method=method, **given)


async def pay(stripe, method="pm_card_visa", amount=10_000, **more):
    held = await hold(stripe, method, amount, **more)
    return await stripe.capture(held.id, key=key())


async def refusal(work):
    """The code with which Stripe refuses."""
    with pytest.raises(GatewayRefused) as refused:
        await work
    return refused.value.code
