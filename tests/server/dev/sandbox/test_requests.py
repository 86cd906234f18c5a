"""Keys, parameters, lists, expansion, idempotency and faults: what holds for every endpoint."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
import stripe

from server.http.protocol import SERVER

from .conftest import NO_REDIRECT, Sandbox, Shop
from .test_payments import refusal

DAY = 86_400


async def test_an_invalid_api_key_is_refused(sandbox_shop: Shop) -> None:
    """Fails without `api_server.read_api_key`, or without HttpRunner, which names no version."""
    stranger = sandbox_shop.connect(key="rk_live_1")
    assert isinstance(await refusal(stranger.v1.customers.list_async()), stripe.AuthenticationError)
    url = f"{sandbox_shop.url}/v1/balance"
    async with sandbox_shop.http.get(url) as response:
        assert (response.status, response.headers["Server"]) == (401, SERVER)
    basic = {"Authorization": aiohttp.encode_basic_auth(sandbox_shop.key, "")}
    async with sandbox_shop.http.get(url, headers=basic) as response:
        assert response.status == 200
        assert response.headers["Request-Id"].startswith("req_")


async def test_tenants_do_not_see_each_other(sandbox_shop: Shop, sandbox_server: Sandbox) -> None:
    """Fails without the tenant and account guards in `RequestContext.find` (either alone holds)."""
    other = Shop(sandbox_server, sandbox_shop.http)
    customer = await sandbox_shop.v1.customers.create_async({"email": "a@shop.test"})
    account = await sandbox_shop.contractor()
    error = await refusal(other.v1.customers.retrieve_async(customer.id))
    assert (error.http_status, error.code) == (404, "resource_missing")
    assert (await other.v1.customers.list_async()).data == []
    foreign = await refusal(other.v1.balance.retrieve_async({}, {"stripe_account": account}))
    assert foreign.http_status == 403
    assert foreign.json_body["error"]["code"] == "account_invalid"
    assert await other.events() == []


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": 100}, "parameter_missing", "currency"),
        ({"amount": 100, "currency": "usd", "colour": "red"}, "parameter_unknown", "colour"),
        ({"amount": "ten", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 100, "currency": "zzz"}, None, "currency"),
        (
            {"amount": 100, "currency": "usd", "automatic_payment_methods": {"on": True}},
            "parameter_unknown",
            "automatic_payment_methods[on]",
        ),
        ({"amount": 100, "currency": "usd", "customer": "cus_0"}, "resource_missing", "customer"),
    ],
)
async def test_invalid_parameters_are_refused(
    sandbox_shop: Shop, params: Any, code: str, param: str
) -> None:
    """Fails without `parameters.parse` checking names, presence and types; the key stays free."""
    options: Any = {"idempotency_key": "k1"}
    intents = sandbox_shop.v1.payment_intents
    error = await refusal(intents.create_async(params, options))
    assert (error.http_status, error.code, error.param) == (400, code, param)
    good: Any = {"amount": 1_000, "currency": "usd"}
    assert (await intents.create_async(good, options)).amount == 1_000


async def test_unknown_paths_answer_404(sandbox_shop: Shop) -> None:
    """Fails without the 404 of `routes.find`."""
    headers = {"Authorization": f"Bearer {sandbox_shop.key}"}
    async with sandbox_shop.http.get(f"{sandbox_shop.url}/v1/moons", headers=headers) as response:
        assert response.status == 404
        assert "Unrecognized request URL" in (await response.json())["error"]["message"]


async def test_lists_are_paged_newest_first(sandbox_shop: Shop) -> None:
    """Fails without the cursors of `RequestContext._window`."""
    customers = sandbox_shop.v1.customers
    made = [(await customers.create_async({"name": str(n)})).id for n in range(5)]
    made.reverse()
    page = await customers.list_async({"limit": 2})
    assert ([entry.id for entry in page.data], page.has_more) == (made[:2], True)
    page = await customers.list_async({"limit": 3, "starting_after": made[1]})
    assert ([entry.id for entry in page.data], page.has_more) == (made[2:], False)
    page = await customers.list_async({"limit": 2, "ending_before": made[3]})
    assert ([entry.id for entry in page.data], page.has_more) == (made[1:3], True)
    page = await customers.list_async({"limit": 2})
    assert [entry.id async for entry in page.auto_paging_iter()] == made
    await sandbox_shop.advance(1000)
    late = await customers.create_async({"email": "late@shop.test"})
    page = await customers.list_async({"created": {"gte": late.created}})
    assert [entry.id for entry in page.data] == [late.id]
    page = await customers.list_async({"created": {"lt": late.created}})
    assert len(page.data) == 5
    page = await customers.list_async({"email": "late@shop.test"})
    assert [entry.id for entry in page.data] == [late.id]
    both = customers.list_async({"starting_after": made[1], "ending_before": made[3]})
    assert (await refusal(both)).http_status == 400


@pytest.mark.parametrize(("limit", "rows"), [(0, 1), (-3, 1), (101, 3), (10_000, 3)])
async def test_the_size_of_a_page_is_clamped(sandbox_shop: Shop, limit: int, rows: int) -> None:
    """Guard: the bounds of `limit` in `RequestContext._window`; Stripe refuses none of these."""
    for n in range(3):
        await sandbox_shop.v1.customers.create_async({"name": str(n)})
    page = await sandbox_shop.v1.customers.list_async({"limit": limit})
    assert len(page.data) == rows


async def test_an_unknown_version_is_refused(sandbox_shop: Shop) -> None:
    """Guard: `api_server.check_version`. The sandbox answers in the pinned version only."""
    for version, status in ((None, 200), ("2026-05-27.dahlia", 200), ("2026-05-28.dahlia", 400)):
        headers = {"Authorization": f"Bearer {sandbox_shop.key}"}
        headers |= {"Stripe-Version": version} if version else {}
        url = f"{sandbox_shop.url}/v1/balance"
        async with sandbox_shop.http.get(url, headers=headers) as response:
            assert response.status == status
            refused = (await response.json()).get("error", {})
        assert refused.get("type") == ("invalid_request_error" if status == 400 else None)


async def test_fields_are_expanded(sandbox_shop: Shop) -> None:
    """Fails without `RequestContext._expand` walking nested paths and lists."""
    customer = await sandbox_shop.v1.customers.create_async({"email": "a@shop.test"})
    paid = await sandbox_shop.pay(customer=customer.id)
    page = await sandbox_shop.v1.payment_intents.list_async(
        {
            "customer": customer.id,
            "expand": ["data.customer", "data.latest_charge.balance_transaction"],
        }
    )
    assert page.data[0].customer.email == "a@shop.test"
    assert page.data[0].latest_charge.balance_transaction.net == 9_680
    error = await refusal(
        sandbox_shop.v1.payment_intents.retrieve_async(paid.id, {"expand": ["moon"]})
    )
    assert "cannot be expanded" in str(error)


async def test_customers_are_updated_and_deleted(sandbox_shop: Shop) -> None:
    """Fails without the tombstone of `customers.delete_customer`."""
    customers = sandbox_shop.v1.customers
    made = await customers.create_async({"email": "a@shop.test", "metadata": {"user": "usr_1"}})
    await sandbox_shop.v1.payment_methods.attach_async("pm_card_visa", {"customer": made.id})
    changed = await customers.update_async(made.id, {"name": "Ada", "metadata": {"x": "1"}})
    assert (changed.name, changed.metadata.to_dict()) == ("Ada", {"user": "usr_1", "x": "1"})
    assert (await customers.delete_async(made.id)).deleted
    assert (await customers.retrieve_async(made.id)).deleted
    assert (await refusal(customers.update_async(made.id, {"name": "B"}))).http_status == 404
    assert (await customers.list_async()).data == []


async def test_an_idempotency_key_replays_the_stored_answer(sandbox_shop: Shop) -> None:
    """Fails without `idempotency_keys.find_response`; a second hold would be made."""
    key: Any = {"idempotency_key": "hold:ofr_1:0"}
    given: Any = {
        "amount": 1_000,
        "currency": "usd",
        "payment_method": "pm_card_visa",
        "confirm": True,
        "automatic_payment_methods": NO_REDIRECT,
    }
    intents = sandbox_shop.v1.payment_intents
    first = await intents.create_async(given, key)
    second = await intents.create_async(given, key)
    assert first.id == second.id
    assert second.last_response is not None
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    other = await refusal(intents.create_async({**given, "amount": 2_000}, key))
    assert isinstance(other, stripe.IdempotencyError)
    assert len((await intents.list_async()).data) == 1
    assert [entry["replayed"] for entry in await sandbox_shop.log()][:2] == [False, True]
    await sandbox_shop.advance(DAY + 1)
    assert (await intents.create_async(given, key)).id != first.id


async def test_a_decline_is_replayed_under_its_key(sandbox_shop: Shop) -> None:
    """Fails when `_error_response` forgets to remember card errors: a second charge would be
    tried."""
    key: Any = {"idempotency_key": "k"}
    given: Any = {
        "amount": 1_000,
        "currency": "usd",
        "payment_method": "pm_card_chargeDeclined",
        "confirm": True,
        "automatic_payment_methods": NO_REDIRECT,
    }
    first = await refusal(sandbox_shop.v1.payment_intents.create_async(given, key))
    second = await refusal(sandbox_shop.v1.payment_intents.create_async(given, key))
    assert (second.http_status, second.json_body) == (402, first.json_body)
    assert len((await sandbox_shop.v1.charges.list_async()).data) == 1


async def test_a_concurrent_request_with_the_same_key_is_refused(sandbox_shop: Shop) -> None:
    """Fails without `ApiServer._running_keys`; and without `Delays.release` it waits a minute."""
    await sandbox_shop.fault(method="POST", path="/v1/customers", when="after", delay=60)
    key: Any = {"idempotency_key": "k"}
    slow = asyncio.create_task(sandbox_shop.v1.customers.create_async({"name": "A"}, key))
    while not (await sandbox_shop.v1.customers.list_async()).data:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    error = await refusal(sandbox_shop.v1.customers.create_async({"name": "A"}, key))
    assert error.http_status == 409
    assert error.json_body["error"]["code"] == "idempotency_key_in_use"
    assert not slow.done()
    await sandbox_shop.control("DELETE", "faults")
    made = await slow
    again = await sandbox_shop.v1.customers.create_async({"name": "A"}, key)
    assert again.id == made.id


@pytest.mark.parametrize(("when", "effects"), [("before", 0), ("after", 1)])
async def test_a_500_is_replayed_under_its_key(sandbox_shop: Shop, when: str, effects: int) -> None:
    """Fails when `_error_response` does not store a 500, or when `after` loses the effect."""
    held = await sandbox_shop.hold()
    await sandbox_shop.fault(
        method="POST", path="/v1/payment_intents/*/capture", when=when, status=500
    )
    capture = sandbox_shop.v1.payment_intents.capture_async
    for _ in range(2):
        error = await refusal(capture(held.id, {}, {"idempotency_key": "capture:1"}))
        assert (error.http_status, type(error)) == (500, stripe.APIError)
    status = (await sandbox_shop.v1.payment_intents.retrieve_async(held.id)).status
    assert status == ("succeeded" if effects else "requires_capture")
    assert (await sandbox_shop.control("GET", "faults"))["data"] == []
    if not effects:
        assert (await capture(held.id, {}, {"idempotency_key": "capture:2"})).status == "succeeded"


@pytest.mark.parametrize("status", [409, 429])
async def test_409_and_429_are_not_stored_under_the_key(sandbox_shop: Shop, status: int) -> None:
    """Fails when `fault_injection.error_response` stores what Stripe refuses before it starts."""
    await sandbox_shop.fault(path="/v1/customers", status=status)
    key: Any = {"idempotency_key": "k"}
    await refusal(sandbox_shop.v1.customers.create_async({"name": "A"}, key))
    assert (await sandbox_shop.v1.customers.create_async({"name": "A"}, key)).name == "A"


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
async def test_a_retry_after_a_lost_connection_creates_one_object(
    sandbox_shop: Shop, when: str, made: int
) -> None:
    """Fails when a drop is answered, or when `before` has an effect; a retry makes one object."""
    await sandbox_shop.fault(path="/v1/customers", method="POST", when=when, drop=True)
    key: Any = {"idempotency_key": "k"}
    error = await refusal(sandbox_shop.v1.customers.create_async({"name": "A"}, key))
    assert isinstance(error, stripe.APIConnectionError)
    assert len((await sandbox_shop.v1.customers.list_async()).data) == made
    await sandbox_shop.v1.customers.create_async({"name": "A"}, key)
    assert len((await sandbox_shop.v1.customers.list_async()).data) == 1


async def test_sdk_retries_outlast_a_fault(sandbox_shop: Shop) -> None:
    """Fails when a fault is not used up after `times` requests."""
    await sandbox_shop.fault(path="/v1/customers", method="POST", drop=True, times=2)
    patient = sandbox_shop.connect(retries=2)
    assert (await patient.v1.customers.create_async({"name": "A"})).name == "A"


async def test_a_fault_declines_a_capture(sandbox_shop: Shop) -> None:
    """Fails without `_add_payment_intent`."""
    held = await sandbox_shop.hold()
    await sandbox_shop.fault(
        method="POST",
        path="/v1/payment_intents/*/capture",
        status=402,
        error={"type": "card_error", "code": "card_declined", "decline_code": "lost_card"},
    )
    error = await refusal(sandbox_shop.v1.payment_intents.capture_async(held.id))
    assert isinstance(error, stripe.CardError)
    assert error.json_body["error"]["decline_code"] == "lost_card"
    assert error.json_body["error"]["payment_intent"]["status"] == "requires_capture"


async def test_faults_are_listed_and_cleared(sandbox_shop: Shop) -> None:
    """Fails without `fault_injection.delete_all`."""
    await sandbox_shop.fault(path="/v1/*", status=500, times=3)
    assert (await sandbox_shop.control("GET", "faults"))["data"][0]["times"] == 3
    await sandbox_shop.control("DELETE", "faults")
    assert (await sandbox_shop.v1.customers.list_async()).data == []


async def test_the_request_log_has_every_request(sandbox_shop: Shop) -> None:
    """Fails when `_append_to_log` misses a field; control calls are not in it."""
    account = await sandbox_shop.contractor()
    before = (await sandbox_shop.log())[-1]["id"]
    await sandbox_shop.v1.balance.retrieve_async({}, {"stripe_account": account})
    await sandbox_shop.v1.customers.create_async({"name": "A b"}, {"idempotency_key": "k"})
    rows = (await sandbox_shop.control("GET", f"requests?after={before}"))["data"]
    assert [(row["method"], row["path"], row["status"]) for row in rows] == [
        ("GET", "/v1/balance", 200),
        ("POST", "/v1/customers", 200),
    ]
    assert rows[0]["stripe_account"] == account
    assert (rows[1]["body"], rows[1]["idempotency_key"]) == ("name=A+b", "k")
    assert rows[1]["response"]["name"] == "A b"
