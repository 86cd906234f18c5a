"""What remains of a person in the stores after the deletion of their account."""

import msgspec
import pytest

from domain.accounts.user import User
from domain.kernel.outbox import Delivery, OutboxRow, Outgoing
from domain.kernel.record import Record
from domain.kernel.store import new_id
from domain.notifications.feed import FeedRow
from domain.operations.idempotency import Reply
from domain.privacy.erasure import (
    DELETED_ADDRESS,
    DELETED_NAME,
    DeleteStripeCustomer,
    EraseCopies,
    scrubbed,
)
from domain.registry import RECORDS
from tests.support.databases import needs
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.one_server import one_server, own_server
from tests.support.parties import PASSWORD

pytestmark = one_server

NAME = "Quentin Quincewood"
STREET = "Quittenweg 17b"


async def delete(party):
    return await party.http("POST", "/api/account/delete", {"password": PASSWORD})


async def traces_of(market, *texts: str) -> set[str]:
    """The collections in which one of these texts is stored."""
    kinds: dict[str, type[Record]] = {}
    for kind in RECORDS:
        kinds.setdefault(f"{kind.COLLECTION} {kind.__name__}", kind)
    found = set()
    for name, kind in kinds.items():
        async for document in market.store.single().documents(kind, {}, (("_id", 1),)):
            clear = str(market.store.codec.open(kind, document))
            found |= {f"{text} in {name}" for text in texts if text in clear}
    return found


@own_server
@needs("freed keys")
async def test_nothing_personal_remains_outside_of_the_books(market, server):
    """Guard: `erasure.EraseCopies`, PERSONAL of the records and commands for the audit log, and
    `readable` in `_scrub_dead_letters` and `_scrub_feed_and_replies`: damaged rows of other people
    do not stop it."""
    customer = await market.customer(NAME, bio="Growing quinces.")
    reader = await market.contractor("Rita Reader", onboarded=True)
    await market.admin()
    await reader.call("/job", "search_save", {"name": "All fences", "q": "fence"})
    await customer.call("/account", "update", {"headline": "Quinces"}, request_id="update-1")
    place = {"lon": 13.4, "lat": 52.5, "label": STREET}
    await customer.call("/payment", "setup")
    work = JobInProgress(market, server)
    await work.start_and_complete(customer=customer, contractor=reader)
    job = await market.job(customer, location=place)
    await reader.call("/job", "get", {"job_id": job["id"]}, request_id="get-1")
    await market.application(reader, job, **{})
    await market.settled(TIMEOUT)
    [user] = await market.rows(User, _id=customer.id)
    assert user.customer_id
    texts = (NAME, customer.email, STREET, user.customer_id, "Growing quinces.", "Quinces")
    assert {each.partition(" in ")[0] for each in await traces_of(market, *texts)} == set(texts)
    assert (await delete(customer))[0] == 200
    await market.settled(TIMEOUT)
    rows = await market.tasks("close_account")  # the second run, which is due later
    uow = market.store.single()
    damaged = {
        OutboxRow: {"_id": "out_0", "dead": True},
        FeedRow: {"_id": "feed_0", "user_id": reader.id, "seq": 1000},
        Reply: {"_id": f"{reader.id}:0"},
    }
    for kind, document in damaged.items():
        await uow.put(kind, [document])
    for row in rows:
        await msgspec.convert(row.body, server.web.relay._tasks).run(server.ports)
        await uow.remove(type(row), {"_id": row.id})
    for kind, document in damaged.items():
        await uow.remove(kind, {"_id": document["_id"]})
    assert await traces_of(market, *texts) == set()
    assert (await work.sandbox.api("GET", f"customers/{user.customer_id}"))["deleted"] is True


@needs("freed keys")
async def test_a_contractors_name_leaves_the_notices_of_customers(market):
    """Guard: `_scrub_feed_and_replies` for notices, whose texts contain names."""
    customer, contractor = await market.customer(), await market.contractor(NAME)
    await market.application(contractor, await market.job(customer), cover_letter="Hello.")
    await market.settled()
    assert await traces_of(market, NAME)
    assert (await delete(contractor))[0] == 200
    await market.settled()
    items = (await customer.call("/account", "sync", {"since": 0}))["items"]
    assert [item["seq"] for item in items] == list(range(1, len(items) + 1))
    assert DELETED_NAME in str(items) and NAME not in str(items)


async def test_deleting_a_stripe_customer_again_is_harmless(market, server):
    """Guard: MISSING in `DeleteStripeCustomer`."""
    customer = await market.customer()
    await customer.call("/payment", "setup")
    [user] = await market.rows(User, _id=customer.id)
    task = DeleteStripeCustomer(user.id, user.customer_id)
    for _ in range(2):
        await task.run(server.ports)
    [user] = await market.rows(User, _id=customer.id)
    assert user.customer_id is None


@pytest.mark.parametrize(
    ("name", "text", "result"),
    [
        (NAME, f"{NAME} applied to “Fence”.", f"{DELETED_NAME} applied to “Fence”."),
        (NAME, f"{NAME}son applied.", f"{NAME}son applied."),
        ("Al", "Also Al applied.", "Also Al applied."),
        ("Al", "Al", DELETED_NAME),
        ("A.*b", "A.*b and AAAb", f"{DELETED_NAME} and AAAb"),
        (NAME, "Mail q@x.example now", f"Mail {DELETED_ADDRESS} now"),
    ],
)
def test_names_and_addresses_are_replaced_in_texts(name, text, result):
    """Guard: `scrubbed`."""
    place = {"customer_id": "usr_1", "location": {"label": "here"}}
    row = {
        "names": {"usr_1": text, "usr_2": "Bo"},
        "a": [{"title": text, "n": 1}],
        "c": None,
        "own": place,
        "other": place | {"customer_id": 2},
    }
    assert scrubbed(row, "usr_1", name, "q@x.example") == {
        **row,
        "names": {"usr_1": result, "usr_2": "Bo"},
        "a": [{"title": result, "n": 1}],
        "own": {"customer_id": "usr_1", "location": None},
    }


@pytest.mark.parametrize("name", ["pending", "push", "USD", "offer.created", "payment", "/bidding"])
async def test_a_name_that_is_a_code_changes_no_code(market, server, name):
    """Guard: `field` in `scrubbed`, and ROUTE: else a dead letter could not be sent again."""
    data = {"status": "pending", "currency": "USD", "path": "/#/payment/1", "customer_name": name}
    body = {"type": "push", "namespace": "/bidding", "name": "offer.created", "data": data}
    row = Outgoing(market.store.clock.now(), "w", new_id, owns=True).row(Delivery("", "", {}))
    await market.store.single().add(msgspec.structs.replace(row, body=body, dead=True))
    customer = await market.customer(name, connect=False)
    await EraseCopies(customer.id, name, customer.email).run(server.ports)
    [kept] = await market.rows(OutboxRow, dead=True)
    assert kept.body == body | {"data": data | {"customer_name": DELETED_NAME}}
