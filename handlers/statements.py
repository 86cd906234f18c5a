"""Statements and commissions as CSV files, streamed row by row."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import msgspec

from domain.admin import commissions
from domain.kernel.actor import Actor
from domain.kernel.money import CURRENCIES
from domain.kernel.store import UnitOfWork
from domain.operations.command import Meta
from domain.operations.operation import Operation, record_read
from domain.ports.ports import Ports
from domain.wallet import statements
from domain.wallet.statements import GetStatement
from handlers.csv_cells import Cell, encode_rows, format_cell
from handlers.expose import Answer, Stream, answer

ROWS_AT_ONCE = 200

Rows = Callable[[Any, Actor, UnitOfWork], AsyncIterator[tuple[Cell, ...]]]


class Download(msgspec.Struct, frozen=True):
    """A GET route that streams rows. The operation defines its roles and its fields."""

    path: str
    operation: Operation
    title: str
    header: tuple[str, ...]
    rows: Rows

    async def open(self, fields: Any, actor: Actor, meta: Meta, ports: Ports) -> Answer:
        """A Stream whose first piece has been read, so that an error still has a status code."""
        return await answer(self.operation, fields, actor, meta, ports, run=self._open)

    async def _open(
        self, op: Operation, fields: Any, actor: Actor, meta: Meta, ports: Ports
    ) -> Stream:
        op.admit(actor)
        command: Any
        fields, command = op.parse(fields, meta.text)
        pieces = self._encoded_pieces(command, actor, ports.store.single())
        first = await anext(pieces)
        await record_read(op, fields, actor, meta, ports)
        days = (f"{day:%Y-%m-%d}" for day in (command.start, command.end))
        name = "-".join(filter(None, (self.title, command.currency, *days)))
        return Stream(
            f"{name}.csv", "text/csv; charset=utf-8", lambda *_: chain_pieces(first, pieces)
        )

    async def _encoded_pieces(
        self, command: Any, actor: Actor, uow: UnitOfWork
    ) -> AsyncGenerator[bytes, None]:
        rows = [self.header]
        async for row in self.rows(command, actor, uow):
            rows.append(tuple(format_cell(value) for value in row))
            if len(rows) == ROWS_AT_ONCE:
                yield encode_rows(rows)
                rows = []
        if rows:
            yield encode_rows(rows)


async def chain_pieces(
    first: bytes, rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def to_decimal(amount: int, currency: str) -> Decimal:
    """Minor units as a decimal number of the currency: 70000 in USD is 700.00."""
    exponent = CURRENCIES[currency].exponent if currency in CURRENCIES else 2
    return Decimal(amount).scaleb(-exponent)


# -- the files -------------------------------------------------------------------------------


STATEMENT = (
    "at",
    "kind",
    "job",
    "offer_id",
    "withdrawal_id",
    "currency",
    "amount",
    "moved",
    "balance",
    "amount_minor",
    "moved_minor",
    "balance_minor",
)
COMMISSIONS = (
    "platform_fees",
    "service_fees",
    "refunds",
    "stripe_fees",
    "chargebacks",
    "chargeback_fees",
    "other",
    "net",
)


async def statement_rows(
    command: GetStatement, actor: Actor, uow: UnitOfWork
) -> AsyncIterator[tuple[Cell, ...]]:
    async for entry in statements.entries(command, actor, uow):
        amounts = (entry.amount, entry.moved_amount, entry.balance_amount)
        yield (
            entry.at,
            entry.kind,
            entry.job_title,
            entry.offer_id,
            entry.withdrawal_id,
            entry.currency,
            *(to_decimal(amount, entry.currency) for amount in amounts),
            *amounts,
        )


async def commission_rows(
    command: commissions.Commissions, actor: Actor, uow: UnitOfWork
) -> AsyncIterator[tuple[Cell, ...]]:
    for line in (await commissions.commissions(command, actor, uow)).lines:
        period, currency, *amounts = msgspec.structs.astuple(line)
        yield (period, currency, *(to_decimal(amount, currency) for amount in amounts), *amounts)


def operation_of(function: Any) -> Operation:
    found: Operation = function.operation
    return found


DOWNLOADS = (
    Download(
        "/api/wallet/statement.csv",
        operation_of(statements.statement),
        "statement",
        STATEMENT,
        statement_rows,
    ),
    Download(
        "/api/admin/commissions.csv",
        operation_of(commissions.commissions),
        "commissions",
        ("period", "currency", *COMMISSIONS, *(f"{name}_minor" for name in COMMISSIONS)),
        commission_rows,
    ),
)
