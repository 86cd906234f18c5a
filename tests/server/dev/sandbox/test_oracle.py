"""The Stripe oracle of the tests: invalid requests, responses and events that it must report."""

from __future__ import annotations

import pytest

from tests.support import stripe_oracle

from .conftest import Shop

INTENTS = "/v1/payment_intents"


def test_valid_requests_pass() -> None:
    """Fails when `_coerce` does not follow the description's types."""
    body = (
        "amount=1000&currency=usd&confirm=true&off_session=one_off&metadata[a]=1"
        "&automatic_payment_methods[enabled]=true&payment_method_types[0]=card&expand[0]=customer"
    )
    stripe_oracle.check_request("POST", INTENTS, body, "")
    stripe_oracle.check_request("GET", INTENTS, "", "limit=3&created[gte]=5&created[lt]=9")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("currency=usd", "amount"),
        ("amount=1000&currency=usd&colour=red", "colour"),
        ("amount=ten&currency=usd", "amount"),
        ("amount=1000&currency=usd&capture_method=later", "capture_method"),
        ("amount=1000&currency=usd&automatic_payment_methods[on]=true", "automatic_payment"),
    ],
)
def test_invalid_bodies_are_reported(body: str, path: str) -> None:
    """Fails without `additionalProperties: false`, `required` or `enum` in `_closed`."""
    with pytest.raises(AssertionError, match=path):
        stripe_oracle.check_request("POST", INTENTS, body, "")


def test_invalid_queries_and_paths_are_reported() -> None:
    """Fails without `_query_schema`."""
    with pytest.raises(AssertionError, match="state"):
        stripe_oracle.check_request("GET", INTENTS, "", "state=held")
    with pytest.raises(AssertionError, match="Stripe has no"):
        stripe_oracle.check_request("POST", "/v1/moons", "", "")


async def test_invalid_responses_and_events_are_reported(sandbox_shop: Shop) -> None:
    """Fails when response objects are open, or nested ones are not followed."""
    await sandbox_shop.pay(expand=["latest_charge"])
    entry = (await sandbox_shop.log())[-1]
    for spoil in (
        lambda body: body.update(status="held"),
        lambda body: body.update(colour="red"),
        lambda body: body.pop("status"),
        lambda body: body["latest_charge"].update(amount="12"),
    ):
        body = {**entry["response"], "latest_charge": {**entry["response"]["latest_charge"]}}
        stripe_oracle.check_response("POST", INTENTS, 200, body)
        spoil(body)
        with pytest.raises(AssertionError, match="does not match"):
            stripe_oracle.check_response("POST", INTENTS, 200, body)
    event = (await sandbox_shop.v1.events.list_async()).data[0].to_dict()
    stripe_oracle.check_event(event)
    event["data"]["object"]["amount"] = None
    with pytest.raises(AssertionError, match="amount"):
        stripe_oracle.check_event(event)
