"""Statements and commissions: their sums agree with the balances, and their queries use indexes."""

from datetime import UTC, datetime, timedelta

import pytest

from domain import ledger
from domain.admin import commissions
from domain.kernel.actor import Actor, Role
from domain.kernel.store import UnitOfWork
from domain.ledger.owner_view import platform_before
from domain.ledger.transaction import Posting, Transaction
from domain.wallet import statements
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.journal_samples import (
    NEW_YEAR,
    download,
    get_statement,
    insert_transactions,
    recent_period,
    totals_by_kind,
    transaction,
)
from tests.support.parties import Refused

# -- the sums ------------------------------------------------------------------------------------


async def test_a_contractors_statement_explains_the_change_of_balance(completed_work):
    """Guard: `position` and `deltas` of `owner_view.OwnedAccounts`; a part that is left out, or
    what only moves counted as coming in, and the closing balance is not the wallet's."""
    work = completed_work
    before = datetime.now(UTC).isoformat()
    await work.withdraw(20_000)
    whole = await get_statement(work.contractor)
    assert totals_by_kind(whole) == {
        "completed": (1, 70_000, 0, 0),
        "transfer_settled": (1, 0, 0, 70_000),
        "withdrawn": (1, 0, 0, 20_000),
        "paid_out": (1, 0, 20_000, 0),
    }
    assert (whole["opening"]["amount"], whole["net_amount"]) == (0, 50_000)
    assert whole["closing"] == {
        "amount": 50_000,
        "parts": {
            "available": 50_000,
            "pending": 0,
            "held": 0,
            "stranded": 0,
            "in_transit": 0,
            "debt": 0,
        },
    }
    wallet = await work.contractor.call("/wallet", "balance")
    assert {part: wallet[part] for part in whole["closing"]["parts"]} == whole["closing"]["parts"]

    first = await get_statement(work.contractor, end=before)
    second = await get_statement(work.contractor, start=before)
    assert first["closing"] == second["opening"]
    assert (second["opening"]["amount"], second["net_amount"]) == (70_000, -20_000)
    assert totals_by_kind(second).keys() == {"withdrawn", "paid_out"}
    assert totals_by_kind(await get_statement(work.contractor, currency="EUR")) == {}


async def test_a_statement_includes_debt_and_held_money(completed_work):
    """Guard: `held` and `debt` in `OwnedAccounts.of`."""
    work = completed_work
    await work.withdraw(50_000)
    chargeback = await work.open_chargeback()
    closing = (await get_statement(work.contractor))["closing"]
    assert (closing["amount"], closing["parts"]["held"]) == (20_000, 20_000)
    await work.decide_chargeback(chargeback, won=False)
    await work.market.settled(TIMEOUT)
    found = await get_statement(work.contractor)
    assert found["closing"]["parts"]["debt"] == found["closing"]["amount"] == -50_000
    assert totals_by_kind(found)["chargeback_lost"] == (1, 0, 70_000, 0)


async def test_a_customers_statement_lists_payments_and_refunds(work):
    """Guard: `OwnedAccounts`: STRIPE and chargebacks; without `came or left or moved` the
    platform's fee would be an empty line."""
    await work.refund(30_000)
    await work.market.settled(TIMEOUT)
    paid = await get_statement(work.customer)
    assert totals_by_kind(paid) == {"captured": (1, 0, 100_000, 0), "refunded": (1, 30_000, 0, 0)}
    assert paid["closing"]["amount"] == paid["net_amount"] == -70_000
    _, _, rows = await download(work.customer, "wallet/statement.csv", **recent_period())
    assert [(row["kind"], row["amount"], row["balance"]) for row in rows] == [
        ("captured", "-1000.00", "-1000.00"),
        ("refunded", "300.00", "-700.00"),
    ]


async def test_a_lost_chargeback_returns_money_to_the_customer(work):
    """Guard: `chargebacks` in `OwnedAccounts`; without it the bank's refund is missing."""
    await work.decide_chargeback(await work.open_chargeback(), won=False)
    await work.market.settled(TIMEOUT)
    found = await get_statement(work.customer)
    assert totals_by_kind(found)["chargeback_lost"] == (1, 100_000, 0, 0)
    assert found["closing"]["amount"] == 0


async def test_commissions_agree_with_the_platforms_balance(market, server):
    """Guard: COLUMNS and `_sum_by_period`; a kind that is counted twice or not at all, and the
    columns do not make the net amount, or that not the balance."""
    work = JobInProgress(market, server)
    await work.sandbox.settings(fee_bps=290)
    await work.start_and_complete()
    await work.refund(20_000)
    await work.market.settled(TIMEOUT)
    other = await JobInProgress(market, server).start_and_complete()
    await other.decide_chargeback(await other.open_chargeback(), won=False)
    platform, _ = await work.platform_and_escrow()
    admin = await work.market.admin()

    report = await admin.call("/admin", "commissions", recent_period())
    sums = {
        name: sum(line[name] for line in report["lines"] if line["currency"] == "USD")
        for name in report["lines"][0]
        if name.endswith("_amount")
    }
    assert sums == {
        "platform_fee_amount": 20_000,
        "service_fee_amount": 40_000,
        "refunded_amount": -6_000,
        "stripe_fee_amount": -2 * 2_900,
        "chargeback_amount": -30_000,
        "chargeback_fee_amount": -1_500,
        "other_amount": 0,
        "net_amount": platform,
    }
    total = next(total for total in report["totals"] if total["currency"] == "USD")
    assert total == {
        "currency": "USD",
        "opening_amount": 0,
        "net_amount": platform,
        "closing_amount": platform,
    }
    assert (await get_statement(admin))["closing"]["parts"] == {"platform": platform}
    _, _, rows = await download(admin, "admin/commissions.csv", **recent_period(bucket="month"))
    assert sum(int(row["net_minor"]) for row in rows) == platform
    assert {row["period"] for row in rows} == {datetime.now(UTC).strftime("%Y-%m")}


@pytest.mark.books_differ("the journal is made up")
async def test_commissions_are_grouped_by_day_month_and_currency(market, server):
    """Guard: PERIODS, and the key of `$group`."""
    uow, number = server.store.single(), 0
    for day in (0, 0, 1, 40):
        for currency, amount in (("USD", 100), ("JPY", 7)):
            number += 1
            await uow.add(
                transaction(
                    0,
                    kind="accepted",
                    currency=currency,
                    fact=f"f{number}",
                    users=(),
                    accounts=("escrow:ofr_1", "platform"),
                    created_at=NEW_YEAR + timedelta(days=day),
                    postings=(Posting("escrow:ofr_1", "platform", amount),),
                )
            )
    admin = await market.admin()
    year = {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}

    async def lines(**fields):
        report = await admin.call("/admin", "commissions", {**year, **fields})
        return [(x["period"], x["currency"], x["platform_fee_amount"]) for x in report["lines"]]

    assert await lines(bucket="month") == [
        ("2026-01", "JPY", 21),
        ("2026-01", "USD", 300),
        ("2026-02", "JPY", 7),
        ("2026-02", "USD", 100),
    ]
    assert await lines(currency="USD") == [
        ("2026-01-01", "USD", 200),
        ("2026-01-02", "USD", 100),
        ("2026-02-10", "USD", 100),
    ]
    status, _, rows = await download(admin, "admin/commissions.csv", **year, currency="JPY")
    assert (status, rows[0]["platform_fees"], rows[0]["net_minor"]) == (200, "14", "14")
    last = (await market.trail())[-1]  # guard: `record_read` in `Download.open`
    logged = (last.actor_id, last.operation, last.address)
    assert logged == (admin.id, "admin.commissions", "127.0.0.1")
    assert '"JPY"' in last.detail


INVALID_SPANS = [
    ({"start": "2026-01-01T00:00:00"}, "start"),
    ({"end": "2020-01-01T00:00:00Z"}, "end"),
    ({"start": "2020-01-01T00:00:00Z"}, "end"),
    ({"start": "1999-12-31T00:00:00Z"}, "start"),
    ({"start": "0001-01-01T00:00:00+14:00"}, "start"),
    ({"end": "9999-12-31T23:59:59-12:00"}, "end"),
    ({"currency": "dollars"}, "currency"),
]


async def test_invalid_spans_are_refused(market):
    """Guard: `check_span`, and `tz=True` of Moment; years that the database cannot store would be
    crashes."""
    party = await market.contractor()
    for wrong, field in INVALID_SPANS:
        with pytest.raises(Refused) as refused:
            await get_statement(party, **wrong)
        found = (refused.value.code, refused.value.details["field"])
        assert found == ("invalid", field), wrong


# -- what it costs -------------------------------------------------------------------------------


async def plans(server, monkeypatch, call):
    """The index that the database uses for a call, and how many rows it reads."""
    asked = []
    real = UnitOfWork.aggregate

    async def aggregate(uow, kind, pipeline):
        asked.append({"aggregate": kind.COLLECTION, "pipeline": pipeline, "cursor": {}})
        return await real(uow, kind, pipeline)

    with monkeypatch.context() as patched:
        patched.setattr(UnitOfWork, "aggregate", aggregate)
        await call
    asked = [command for command in asked if command["aggregate"] == Transaction.COLLECTION]
    assert asked
    found = []
    for command in asked:
        explained = await server.store.database.command(
            {"explain": command, "verbosity": "executionStats"}
        )
        plan = explained["stages"][0]["$cursor"]
        stats = plan["executionStats"]
        found.append((str(plan["queryPlanner"]["winningPlan"]), stats["totalDocsExamined"]))
    return found


@pytest.mark.books_differ("the journal is made up")
async def test_statements_read_only_their_part_of_the_journal(server, monkeypatch):
    """Guard: the index of Transaction on (users, created_at) and the one on (accounts,
    created_at); fails when one is dropped or its fields are put in another order."""
    for user in ("usr_1", "usr_2", "usr_3"):
        await insert_transactions(server.store, 150, user=user)
    platform = {"users": (), "accounts": ("escrow:ofr_1", "platform")}
    rows = [transaction(number, fact=f"fee:{number}", **platform) for number in range(150)]
    await server.store.single().add_all(rows)
    hour = {"start": NEW_YEAR + timedelta(hours=1), "end": NEW_YEAR + timedelta(hours=2)}
    of_users, of_platform = "users_1_created_at_1__id_1", "accounts_1_created_at_1"
    for role, run, command, index in (
        (Role.CONTRACTOR, statements.statement, statements.GetStatement(**hour), of_users),
        (Role.CUSTOMER, statements.statement, statements.GetStatement(**hour), of_users),
        (Role.ADMIN, statements.statement, statements.GetStatement(**hour), of_platform),
        (
            Role.ADMIN,
            commissions.commissions,
            commissions.Commissions(**hour, currency="USD"),
            of_platform,
        ),
    ):
        uow, actor = server.store.single(), Actor("usr_2", role, "ses_1")
        for plan, examined in await plans(server, monkeypatch, run(command, actor, uow)):
            assert f"'indexName': '{index}'" in plan
            assert examined == 60


@pytest.mark.books_differ("the journal is made up")
async def test_the_platforms_balance_is_read_from_its_snapshot(server, monkeypatch):
    """Guard: both directions in `platform_before`."""
    postings = (Posting("escrow:ofr_1", "platform", 100),)
    platform = {"users": (), "accounts": ("escrow:ofr_1", "platform"), "postings": postings}
    rows = [transaction(number, fact=f"fee:{number}", **platform) for number in range(100)]
    store = server.store
    await store.single().add_all(rows)
    times = [NEW_YEAR + timedelta(minutes=minute) for minute in (0, 30, 50, 51, 99, 200)]
    monkeypatch.setattr("domain.ledger.balances.SETTLED_AFTER", timedelta(0))

    async def balances():
        uow = store.single()
        return [await platform_before(uow, "USD", at) for at in times]

    plain = await balances()
    assert plain == [0, 3_000, 5_000, 5_100, 9_900, 10_000]
    uow = store.single()
    uow.now = NEW_YEAR + timedelta(minutes=50)
    await ledger.take_snapshot(uow, ledger.PLATFORM)
    assert await uow.count(ledger.Snapshot, {"_id": "snapshot:platform|USD", "balance": 5_100}) == 1
    assert await balances() == plain
