"""The /v2 API of the sandbox: JSON bodies, its own errors, accounts of both versions, countries."""

import pytest
import stripe

from tests.server.dev.sandbox.conftest import Shop

ACCOUNT = {
    "contact_email": "c@x.test",
    "dashboard": "express",
    "configuration": {
        "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}}
    },
    "defaults": {
        "responsibilities": {"fees_collector": "application", "losses_collector": "application"}
    },
    "identity": {"country": "us"},
    "include": ["configuration.recipient", "requirements"],
}
MERCHANT = {"merchant": {"capabilities": {"card_payments": {"requested": True}}}}


def accounts(shop: Shop):
    return shop.client.v2.core.accounts


async def refusal(call) -> stripe.StripeError:
    with pytest.raises(stripe.StripeError) as refused:
        await call
    return refused.value


async def test_an_account_is_one_object_of_both_versions(sandbox_shop: Shop) -> None:
    """Fails when /v1 does not show what /v2 made, or the other way round."""
    made = await accounts(sandbox_shop).create_async(ACCOUNT)
    status = made.configuration.recipient.capabilities.stripe_balance.stripe_transfers.status
    assert (made.applied_configurations, status) == (["recipient"], "restricted")
    assert {entry.description for entry in made.requirements.entries} > {"external_account"}
    old = await sandbox_shop.v1.accounts.retrieve_async(made.id)
    assert old.capabilities.to_dict() == {"transfers": "inactive"} and old.email == "c@x.test"
    await sandbox_shop.onboard(made.id)
    now = await accounts(sandbox_shop).retrieve_async(
        made.id, {"include": ["configuration.recipient", "requirements"]}
    )
    balance = now.configuration.recipient.capabilities.stripe_balance
    assert (balance.stripe_transfers.status, balance.payouts.status) == ("active", "active")
    assert now.requirements.entries == []
    by_v1 = await sandbox_shop.contractor()
    assert (await accounts(sandbox_shop).retrieve_async(by_v1)).id == by_v1
    listed = await accounts(sandbox_shop).list_async({"limit": 1})
    assert [each.id for each in listed.data] == [by_v1]
    page = listed.next_page_url.partition("page=")[2]
    rest = await accounts(sandbox_shop).list_async({"limit": 1, "page": page})
    assert ([each.id for each in rest.data], rest.next_page_url) == ([made.id], None)


async def test_refused_bodies(sandbox_shop: Shop) -> None:
    """Fails when a field that /v2 does not have is taken, or a required one may be absent."""
    wrong = [
        {**ACCOUNT, "type": "express"},
        {**ACCOUNT, "dashboard": "custom"},
        {**ACCOUNT, "contact_email": 7},
        {**ACCOUNT, "configuration": {"recipient": {"capabilities": {"transfers": {}}}}},
        {**ACCOUNT, "defaults": {"responsibilities": {"fees_collector": "application"}}},
        {**ACCOUNT, "include": ["configuration"]},
    ]
    for params in wrong:
        refused = await refusal(accounts(sandbox_shop).create_async(params))
        error = refused.json_body["error"]
        assert (refused.http_status, error["code"]) == (400, "invalid_fields"), params
        assert "param" not in error and error["message"]
    gone = await refusal(accounts(sandbox_shop).retrieve_async("acct_1Nobody"))
    assert (gone.http_status, gone.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("country", "merchant", "code"),
    [
        ("jm", False, None),
        ("de", True, None),
        ("jm", True, "cross_border_connected_account_creation_not_allowed"),
        ("cu", False, "capability_not_available_in_country"),
    ],
)
async def test_countries(sandbox_shop: Shop, country: str, merchant: bool, code: str) -> None:
    """Fails when a country is taken that Stripe refuses. A refused request runs again under its
    key, so that it succeeds once it is right."""
    configuration = ACCOUNT["configuration"] | (MERCHANT if merchant else {})
    params = {**ACCOUNT, "identity": {"country": country}, "configuration": configuration}
    created = accounts(sandbox_shop).create_async(params, {"idempotency_key": "one"})
    if code is None:
        account = await sandbox_shop.v1.accounts.retrieve_async((await created).id)
        agreement = "full" if country == "de" else "recipient"
        assert account.tos_acceptance.service_agreement == agreement
        return
    assert (await refusal(created)).code == code
    again = accounts(sandbox_shop).create_async(ACCOUNT, {"idempotency_key": "one"})
    assert (await again).id


async def test_v1_checks_countries_and_agreements(sandbox_shop: Shop) -> None:
    """Fails when /v1 takes an agreement that does not fit the country or the capabilities."""
    base = {"type": "express", "capabilities": {"transfers": {"requested": True}}}
    recipient = {"tos_acceptance": {"service_agreement": "recipient"}}
    wrong = [
        {**base, "country": "JM"},
        {**base, "country": "US", **recipient},
        {**base, "country": "CU", **recipient},
        {
            **base,
            "country": "JM",
            **recipient,
            "capabilities": {"card_payments": {"requested": True}},
        },
    ]
    for params in wrong:
        refused = await refusal(sandbox_shop.v1.accounts.create_async(params))
        assert refused.http_status == 400, params
    made = await sandbox_shop.v1.accounts.create_async({**base, "country": "JM", **recipient})
    assert made.tos_acceptance.service_agreement == "recipient"
    await sandbox_shop.control("POST", "settings", {"accounts_v1": 0})
    refused = await refusal(sandbox_shop.v1.accounts.create_async({**base, "country": "US"}))
    assert "/v2/core/accounts" in str(refused)


async def test_links_name_the_configurations(sandbox_shop: Shop) -> None:
    """Fails when a link is given that does not name all configurations of its account."""
    made = await accounts(sandbox_shop).create_async(ACCOUNT)
    links = sandbox_shop.client.v2.core.account_links

    def wish(*configurations: str):
        use = {"configurations": list(configurations), "refresh_url": "https://shop.test/again"}
        case = {"type": "account_onboarding", "account_onboarding": use}
        return links.create_async({"account": made.id, "use_case": case})

    refused = await refusal(wish("merchant"))
    assert refused.code == "configs_must_match_to_use_account_links"
    assert (await wish("recipient")).url.startswith("http")
