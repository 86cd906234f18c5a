"""A tenant of the sandbox for each test."""

import secrets

import pytest

from server.adapters.stripe_gateway import StripeGateway
from tests.server.adapters.gateway.asking import METHODS, RETURN, key
from tests.support import stripe_oracle
from tests.support.sandbox_client import Sandbox


@pytest.fixture
async def sandbox(stores):
    """A tenant of its own; the oracle checks all requests, answers and webhooks."""
    sandbox = Sandbox(
        stores.stripe_api_base, f"sk_test_{secrets.token_hex(16)}", stores.control_key
    )
    await sandbox.register()
    yield sandbox
    stripe_oracle.check_log(await sandbox.requests())
    for event in await sandbox.events():
        stripe_oracle.check_event(event)
    await sandbox.close()


@pytest.fixture
def version():
    """The version by which accounts are made."""
    return "v2"


@pytest.fixture
async def stripe(sandbox, version):
    await sandbox.settings(accounts_v1=1)
    gateway = StripeGateway(sandbox.key, sandbox.base, RETURN, METHODS, accounts=version)
    yield gateway
    await gateway.close()


@pytest.fixture
async def account(stripe, sandbox):
    """A connected account that finished its onboarding."""
    person = {"email": "c@x.test", "user_id": "usr_c"}
    made = await stripe.create_account(key=key(), country="US", agreement="full", **person)
    await sandbox.fill_in_onboarding(await stripe.onboarding_url(made), "Carla", "usd,jpy")
    return made.id
