"""Lists of the back office: filters, pages, hidden fields and the cost of queries."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.accounts.search_keys import search_keys
from domain.accounts.user import User
from domain.admin.lists import Payments, Transactions, Users, Wallets, Withdrawals
from domain.admin.offers import Offers
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.kernel import documents
from domain.kernel.actor import Actor, Role
from domain.kernel.money import Schedule
from domain.kernel.store import UnitOfWork, new_id
from domain.ledger.balances import Balance
from domain.ledger.transaction import Transaction
from domain.wallet.withdrawals import Withdrawal
from handlers import NAMESPACES
from tests.support.job_in_progress import JobInProgress
from tests.support.journal_samples import insert_transactions
from tests.support.parties import Refused

OPERATIONS = [each.operation for namespace in NAMESPACES for each in namespace.exposed]
SECRETS = {"password_hash", "client_secret", "redirect_url", "payment_method", "engagements"}


async def listed(admin, what, **fields):
    return (await admin.call("/admin", what, fields))["items"]


async def test_users_are_found_by_address_id_role_and_state(market):
    """Guard: the filters of `lists.users`, and `ANY_TIME` for its states."""
    admin, customer = await market.admin(), await market.customer()
    contractor, frozen = await market.contractor(), await market.contractor("Fred Frozen")
    await admin.call("/admin", "freeze", {"user_id": frozen.id, "reason": "Checks"})
    await admin.call("/admin", "ban", {"user_id": customer.id, "reason": "Spam"})

    async def ids(**fields):
        return [user["id"] for user in await listed(admin, "users", **fields)]

    assert await ids() == [frozen.id, contractor.id, customer.id, admin.id]
    assert await ids(role="contractor") == [frozen.id, contractor.id]
    assert await ids(q=customer.email.upper()) == await ids(q=customer.id) == [customer.id]
    assert await ids(q="eople") == await ids(q="arla") == await ids(q="@") == []
    assert await ids(q="FRED fro") == await ids(q=frozen.email.partition("@")[0]) == [frozen.id]
    assert await ids(q="Carla Frozen") == await ids(q="Fred", role="customer") == []
    assert await ids(q="people c", role="contractor") == await ids(role="contractor")
    assert await ids(state="frozen") == [frozen.id]
    assert await ids(state="banned") == [customer.id]
    assert await ids(state="deleted") == await ids(state="banned", role="contractor") == []
    [banned] = await listed(admin, "users", state="banned")
    assert (banned["ban_reason"], banned["email"]) == ("Spam", customer.email)


async def test_lists_continue_at_the_cursor(completed_work):
    """Guard: `cursor` in each operation of `admin.lists`."""
    admin = await completed_work.market.admin()
    for what, fields in (
        ("users", {}),
        ("offers", {}),
        ("payments", {}),
        ("wallets", {"nonzero": False}),
        ("transactions", {"offer_id": completed_work.offer["id"]}),
    ):
        if what == "offers":
            other = await JobInProgress(completed_work.market, completed_work.server).start()
            assert other.offer["id"] != completed_work.offer["id"]
        whole = await listed(admin, what, **fields)
        found, cursor = [], {}
        while True:
            page = await admin.call("/admin", what, {**fields, **cursor, "limit": 1})
            found += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert [row["id"] for row in found] == [row["id"] for row in whole]
        assert len(found) > 1


async def test_payments_by_party_status_and_time(completed_work):
    """Guard: the filters of `lists.payments`; without `lowest_id` and `highest_id` a list with
    `since` or `until` reads all payments before or after."""
    admin = await completed_work.market.admin()
    other = await JobInProgress(completed_work.market, completed_work.server).start()
    first, second = completed_work.offer["payment_id"], other.offer["payment_id"]

    async def ids(**fields):
        return [payment["id"] for payment in await listed(admin, "payments", **fields)]

    assert await ids() == [second, first]
    assert await ids(status="captured") == [second, first]
    assert await ids(status="authorized") == []
    assert await ids(customer_id=completed_work.customer.id) == [first]
    assert await ids(contractor_id=other.contractor.id) == [second]
    made = (await other.stored_payment()).created_at
    assert await ids(since=made.isoformat()) == [second]
    assert await ids(until=made.isoformat()) == await ids(offer_id=completed_work.offer["id"])
    assert (
        await ids(until=made.isoformat()) == await ids(job_id=completed_work.job["id"]) == [first]
    )
    assert await ids(since=(made + timedelta(milliseconds=1)).isoformat()) == []
    stored = await other.stored_payment()
    assert await ids(q=stored.intent_id) == await ids(q=stored.charge_id) == [second]
    assert await ids(q=first, until=made.isoformat()) == [first]
    assert await ids(q=second, until=made.isoformat()) == []
    assert await ids(currency="usd", min_amount=100_000) == [second, first]
    assert await ids(currency="USD", min_amount=100_001) == await ids(currency="EUR") == []
    assert await ids(failure="generic_decline") == []
    with pytest.raises(Refused) as refused:
        await admin.call("/admin", "payments", {"min_amount": 1})
    assert refused.value.details["field"] == "currency"
    [payment] = await listed(admin, "payments", customer_id=completed_work.customer.id)
    stored = await completed_work.stored_payment()
    assert (payment["intent_id"], payment["charge_id"]) == (stored.intent_id, stored.charge_id)


async def test_holds_are_listed_in_the_order_in_which_they_expire(market, completed_work):
    """Guard: `hold_until` of `lists.payments`."""
    admin, customer, contractor = await market.admin(), await market.customer(), None
    held = []
    for number in range(2):
        contractor, job = await market.contractor(), await market.job(customer)
        await market.application(contractor, job)
        offer = await market.offer(customer, contractor, job)
        held.append((await market.store.single().get(Payment, offer["payment_id"])).id)
        until = datetime(2026, 12, 24 - number, tzinfo=UTC)
        await market.store.single().change(Payment, held[-1], capture_before=until)

    async def ids(until, **fields):
        page = await admin.call("/admin", "payments", {"hold_until": until, **fields})
        return [payment["id"] for payment in page["items"]], page["next_cursor"]

    assert await ids("2026-12-31T00:00:00Z") == (held[::-1], None)
    assert await ids("2026-12-24T00:00:00Z") == (held[1:], None)
    first, cursor = await ids("2026-12-31T00:00:00Z", limit=1)
    rest, _ = await ids("2026-12-31T00:00:00Z", limit=1, cursor=cursor)
    assert first + rest == held[::-1]


async def test_offers_of_all_sides_are_read(market, completed_work):
    """Guard: the filters of `offers.offers`, and `refundable_amount` and `earnable_amount`."""
    admin = await market.admin()
    done = completed_work.offer
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer)
    await market.application(contractor, job)
    unpaid = await market.offer(customer, contractor, job, payment_method=None)

    async def ids(**fields):
        return [offer["id"] for offer in await listed(admin, "offers", **fields)]

    assert await ids() == [unpaid["id"], done["id"]]
    for fields in (
        {"job_id": job["id"]},
        {"customer_id": customer.id},
        {"contractor_id": contractor.id},
        {"thread_id": unpaid["id"]},
        {"status": "awaiting_payment"},
    ):
        assert await ids(**fields) == [unpaid["id"]], fields
    assert await ids(status="accepted") == await ids(thread_id=done["id"]) == [done["id"]]
    own = await completed_work.customer.call("/bidding", "get", {"offer_id": done["id"]})
    seen = await admin.call("/admin", "offer", {"offer_id": done["id"]})
    assert seen == {**own, "refundable_amount": done["amount"], "earnable_amount": 0}
    assert await admin.http("GET", f"/api/admin/offers/{done['id']}") == (200, seen)
    with pytest.raises(Refused, match="not_found"):
        await admin.call("/admin", "offer", {"offer_id": "ofr_none"})


async def test_wallets_and_the_journal(completed_work):
    """Guard: the filters of `wallets` (snapshots are in the same collection) and `transactions`."""
    admin = await completed_work.market.admin()
    user = completed_work.contractor.id
    [wallet] = await listed(admin, "wallets", user_id=user)
    assert (wallet["account"], wallet["amount"]) == (f"wallet:{user}:available", 70_000)
    whole = await listed(admin, "wallets", nonzero=False)
    assert {row["kind"] for row in whole} == {"wallet", "escrow"}
    [escrow] = await listed(admin, "wallets", kind="escrow", nonzero=False)
    assert (escrow["owner_id"], escrow["amount"]) == (completed_work.offer["id"], 0)
    assert await listed(admin, "wallets", currency="EUR", nonzero=False) == []
    assert await listed(admin, "wallets", kind="debt") == []

    kinds = ["transfer_settled", "completed", "accepted", "captured"]
    assert [t["kind"] for t in await listed(admin, "transactions")] == kinds
    assert [t["kind"] for t in await listed(admin, "transactions", user_id=user)] == kinds[:2]
    fact = f"capture:{completed_work.offer['payment_id']}"
    [captured] = await listed(admin, "transactions", fact=fact)
    assert [captured] == await listed(admin, "transactions", kind="captured")
    assert captured["users"] == [completed_work.customer.id]
    assert [captured] == await listed(admin, "transactions", transaction_id=captured["id"])
    [transfer] = await listed(admin, "transfers")
    assert [transfer] == await listed(admin, "transfers", transfer_id=transfer["id"])
    assert await listed(admin, "transfers", transfer_id="trf_none") == []
    of_escrow = await listed(admin, "transactions", account=f"escrow:{completed_work.offer['id']}")
    assert [t["kind"] for t in of_escrow] == kinds[1:]
    at = captured["created_at"]
    assert kinds[-1] not in [t["kind"] for t in await listed(admin, "transactions", until=at)]
    later = await listed(admin, "transactions", since=at, account="world:stripe")
    assert "captured" in [t["kind"] for t in later]


async def test_withdrawals_of_all_contractors(completed_work):
    """Guard: the filters of `lists.withdrawals`, and the ids at Stripe in its view."""
    market = completed_work.market
    admin, contractor = await market.admin(), completed_work.contractor
    await market.sandbox.settings(payout_delay_seconds=30)
    made = [await market.withdraw(contractor, amount) for amount in (1000, 2000)]
    for withdrawal in made:
        await contractor.push(
            "/wallet",
            "withdrawal.updated",
            lambda pushed, id=withdrawal["id"]: (
                (pushed["id"], pushed["status"]) == (id, "in_transit")
            ),
        )

    async def ids(**fields):
        return [withdrawal["id"] for withdrawal in await listed(admin, "withdrawals", **fields)]

    both = [withdrawal["id"] for withdrawal in reversed(made)]
    assert await ids() == await ids(user_id=contractor.id) == both
    assert await ids(status="in_transit", user_id=contractor.id) == both
    assert await ids(status="failed") == await ids(user_id=admin.id) == []
    stored = await market.store.single().get(Withdrawal, both[0])
    assert await ids(withdrawal_id=both[1]) == both[1:]
    [newest, _] = await listed(admin, "withdrawals")
    assert (newest["amount"], newest["payout_id"], newest["account_id"]) == (
        2000,
        stored.payout_id,
        stored.account_id,
    )
    assert stored.payout_id.startswith("po_")


async def test_lists_show_no_secrets(completed_work):
    """Guard: a view for each list; without it all fields of the record are sent."""
    admin = await completed_work.market.admin()
    for what in ("users", "payments", "wallets", "transactions"):
        for row in await listed(admin, what):
            assert not SECRETS & row.keys()
    stored = await completed_work.stored_payment()
    assert stored.client_secret
    status, text = await admin.http("GET", "/api/admin/payments")
    assert status == 200 and stored.client_secret not in str(text)
    mine = await completed_work.contractor.call("/account", "me")
    assert not {"banned_at", "ban_reason", "deleted_at", "engagements"} & mine.keys()


# -- cost of queries -----------------------------------------------------------------------------


# Without `nonzero`: the embedded server uses an index for equality conditions only.
SOON = datetime(2026, 12, 24, tzinfo=UTC)
LISTS = [
    ("users", Users(role=Role.CUSTOMER), User, "role_1__id_-1"),
    ("users", Users(q="u7@people.test"), User, "email_digest_1"),
    ("users", Users(q="u7"), User, "search_keys_digest_1"),
    ("users", Users(q="cus_7"), User, "customer_id_1"),
    ("users", Users(state="banned"), User, "banned_at_1__id_-1"),
    ("users", Users(state="frozen"), User, "frozen_at_1__id_-1"),
    ("payments", Payments(status="captured"), Payment, "status_1__id_-1"),
    ("payments", Payments(customer_id="usr_7"), Payment, "customer_id_1__id_-1"),
    ("payments", Payments(contractor_id="usr_8"), Payment, "contractor_id_1_visible_1__id_-1"),
    ("payments", Payments(offer_id="ofr_1"), Payment, "offer_id_1__id_-1"),
    ("payments", Payments(job_id="job_1"), Payment, "job_id_1__id_-1"),
    ("offers", Offers(status="expired"), Offer, "status_1__id_-1"),
    ("offers", Offers(customer_id="usr_7"), Offer, "customer_id_1__id_-1"),
    ("offers", Offers(contractor_id="usr_8"), Offer, "contractor_id_1_visible_1__id_-1"),
    ("offers", Offers(job_id="job_7"), Offer, "job_id_1"),
    ("offers", Offers(thread_id="ofr_7"), Offer, "thread_id_1__id_-1"),
    ("wallets", Wallets(user_id="usr_7", nonzero=False), Balance, "owner_1"),
    ("wallets", Wallets(kind="debt", nonzero=False), Balance, "kind_1"),
    ("withdrawals", Withdrawals(user_id="usr_7"), Withdrawal, "user_id_1__id_-1"),
    ("withdrawals", Withdrawals(status="paid"), Withdrawal, "status_1__id_-1"),
    ("payments", Payments(failure="expired_card"), Payment, "failure_1__id_-1"),
    ("payments", Payments(currency="USD", min_amount=9), Payment, "currency_1_amount_1__id_1"),
    ("payments", Payments(currency="EUR"), Payment, "currency_1__id_-1"),
    ("payments", Payments(q="pi_7_failed"), Payment, "intent_id_1"),
    ("payments", Payments(hold_until=SOON), Payment, "status_1_capture_before_1__id_1"),
    ("transactions", Transactions(account="wallet:usr_7:available"), Transaction, "accounts_1"),
    ("transactions", Transactions(user_id="usr_7"), Transaction, "users_1"),
    ("transactions", Transactions(kind="withdrawn"), Transaction, "kind_1__id_-1"),
    ("transactions", Transactions(fact="usr_7:7"), Transaction, "fact_1"),
    ("transactions", Transactions(offer_id="ofr_7"), Transaction, "offer_id_1"),
    ("transactions", Transactions(withdrawal_id="wdr_7"), Transaction, "withdrawal_id_1"),
]


def withdrawal_of(user_id, status, **stamps):
    return Withdrawal(
        id=new_id("wdr"),
        user_id=user_id,
        account_id="acct_1",
        amount=1,
        currency="USD",
        status=status,
        **stamps,
    )


def user_of(number, now, **stamps):
    return User(
        id=f"usr_{number}",
        email=f"u{number}@people.test",
        name=f"U{number}",
        search_keys=search_keys(f"U{number}", ""),
        customer_id=f"cus_{number}",
        password_hash="!",
        role=Role.CUSTOMER if number % 2 else Role.CONTRACTOR,
        banned_at=now if number == 3 else None,
        frozen_at=now if number == 4 else None,
        **stamps,
    )


def payment_of(number, status, **stamps):
    chosen = number == 7
    return Payment(
        id=new_id("pay"),
        offer_id="ofr_1",
        job_id="job_1",
        job_title="Paint the fence",
        customer_id=f"usr_{number}",
        amount=9 if chosen else 1,
        contractor_id=f"usr_{(number + 1) % 10}",
        currency="EUR" if number == 5 else "USD",
        status=status,
        visible=number % 3 == 0,
        intent_id=f"pi_{number}_{status}",
        failure="expired_card" if status == "failed" and chosen else None,
        capture_before=SOON - timedelta(days=1 if chosen else -1),
        **stamps,
    )


async def fill(store):
    """Add ten users with records of every kind, one frozen and one banned."""
    uow = store.single()
    now = datetime.now(UTC)
    stamps = {"created_at": now, "updated_at": now}
    for number, id in ((number, f"usr_{number}") for number in range(10)):
        await uow.add(user_of(number, now, **stamps))
        for status in ("captured", "failed", "authorized"):
            await uow.add(payment_of(number, status, **stamps))
        await uow.add(
            Offer(
                id=new_id("ofr"),
                job_id=f"job_{number}",
                job_title="Paint the fence",
                customer_id=id,
                contractor_id=f"usr_{(number + 1) % 10}",
                payment_id="pay_1",
                amount=1,
                currency="USD",
                description="Two coats",
                timeline_days=1,
                schedule=Schedule(1000, 2000),
                expires_at=now,
                status="expired" if number % 2 else "failed",
                thread_id=f"ofr_{number}",
                visible=number % 3 == 0,
                live=False,
                **stamps,
            )
        )
        for kind, account in (("wallet", f"wallet:{id}:available"), ("debt", f"debt:{id}")):
            await uow.add(
                Balance(
                    id=f"{account}|USD",
                    account=account,
                    kind=kind,
                    owner=id,
                    currency="USD",
                    balance=-1 if kind == "debt" else 1,
                    **stamps,
                )
            )
        await uow.add(withdrawal_of(id, "paid" if number % 2 else "failed", **stamps))
        about = {"user": id, "offer_id": f"ofr_{number}", "withdrawal_id": f"wdr_{number}"}
        await insert_transactions(store, 20, **about)


@pytest.mark.books_differ("rows are made up")
async def test_every_filter_is_answered_from_an_index(server, monkeypatch):
    """Guard: the indexes that LISTS names; fails when one is dropped or the order of its fields
    changes."""
    await fill(server.store)
    admin, asked = Actor("usr_0", Role.ADMIN, "ses_1"), []
    real = UnitOfWork.page

    async def page(uow, kind, where, **options):
        asked.append((kind, where))
        return await real(uow, kind, where, **options)

    monkeypatch.setattr(UnitOfWork, "page", page)
    for what, command, kind, index in LISTS:
        operation = next(o for o in OPERATIONS if o.name == f"admin.{what}")
        found = await operation.run(command, admin, server.store.single())
        read, where = asked.pop()
        assert read is kind and found.items, command
        where = server.store.codec.where(kind, documents.filtered(where))
        explained = await server.store.database.command(
            {"explain": {"find": kind.COLLECTION, "filter": where}, "verbosity": "executionStats"}
        )
        plan, stats = explained["queryPlanner"]["winningPlan"], explained["executionStats"]
        assert f"'indexName': '{index}" in str(plan), command
        assert stats["totalDocsExamined"] <= 2 * stats["nReturned"], command
