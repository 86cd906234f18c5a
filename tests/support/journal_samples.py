"""Wallet statements, and generated journals of any length."""

import csv
import io
from datetime import UTC, datetime, timedelta

from domain import ledger
from domain.kernel.store import new_id
from domain.ledger.transaction import Posting, Transaction

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def recent_period(**fields):
    """The fields of a statement from yesterday to tomorrow."""
    now = datetime.now(UTC)
    span = {"start": now - timedelta(days=1), "end": now + timedelta(days=1)}
    return {name: at.isoformat() for name, at in span.items()} | fields


async def get_statement(party, **fields):
    return await party.call("/wallet", "statement", recent_period(**fields))


def totals_by_kind(statement):
    """{kind: (count, in, out, moved)} of a statement."""
    return {
        line["kind"]: (line["count"], line["in_amount"], line["out_amount"], line["moved_amount"])
        for line in statement["lines"]
    }


async def download(party, path, **params):
    """The status, headers and rows of a CSV file."""
    headers = {"Authorization": f"Bearer {party.token}"} if party.token else {}
    url = f"{party.url}/api/{path}"
    async with party.web.get(url, params=params, headers=headers) as response:
        if response.content_type != "text/csv":
            return response.status, response.headers, await response.json(content_type=None)
        text = io.StringIO(await response.text(), newline="")
        return response.status, response.headers, list(csv.DictReader(text))


def transaction(number, user="usr_1", **fields):
    """Journal row `number`, one a minute, in turn: earned, settled, withdrawn, paid out."""
    kinds = ("completed", "transfer_settled", "withdrawn", "paid_out")
    way = (
        "escrow:ofr_1",
        ledger.pending(user),
        ledger.available(user),
        ledger.in_transit(user),
        ledger.BANK,
    )
    step = number % 4
    given = {
        "kind": kinds[step],
        "currency": "USD",
        "users": (user,),
        "fact": f"{user}:{number}",
        "postings": (Posting(way[step], way[step + 1], 100),),
        "accounts": way[step : step + 2],
        "created_at": NEW_YEAR + timedelta(minutes=number),
        **fields,
    }
    return Transaction(id=new_id(Transaction.PREFIX), updated_at=given["created_at"], **given)


async def insert_transactions(store, count, **fields):
    for start in range(0, count, 2000):
        numbers = range(start, min(start + 2000, count))
        await store.single().add_all([transaction(number, **fields) for number in numbers])
