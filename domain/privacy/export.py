"""Export of everything that is stored about a person, as one ZIP archive of JSON and files.

A task writes the archive piece by piece into the blob storage, so its size does not matter. It is a
file of its owner that expires after EXPORT_LIFE, and only its signed-in owner can download it. The
mail has the address of the page where that is done.
"""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from domain.accounts.passkey import Passkey
from domain.accounts.password_policy import Password
from domain.accounts.user import User, verify_password
from domain.chat.conversation import Conversation, Message
from domain.chat.reports import Report
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute
from domain.disputes.timeline import DisputeEntry
from domain.files.file import File, State, store_generated
from domain.jobs.applications import Application
from domain.jobs.job import Job
from domain.jobs.saved_searches import SavedSearch
from domain.kernel.actor import EVERYONE, Actor, Role
from domain.kernel.batches import batches
from domain.kernel.errors import NotFound, WrongCredentials
from domain.kernel.fields import about
from domain.kernel.outbox import Lane
from domain.kernel.record import Record, wire
from domain.kernel.store import UnitOfWork, new_id
from domain.ledger.transaction import Transaction
from domain.notifications.feed import FeedRow
from domain.notifications.notices import notify
from domain.notifications.text import date_text
from domain.operations.audit_log import AuditRow
from domain.operations.command import Command, Done, Meta, Style
from domain.operations.limits import PASSWORDS_PER_ACCOUNT, PASSWORDS_PER_ADDRESS, Limit
from domain.operations.operation import operation
from domain.operations.task import Task
from domain.ports.ports import Ports
from domain.wallet.withdrawals import Withdrawal

EXPORT_LIFE = timedelta(days=7)
OLDEST = (("_id", 1),)
BATCH = 200  # records
PIECE = 256 * 1024  # bytes of an uploaded file


class Export(Command, frozen=True):
    UNLOGGED = frozenset({"password"})

    password: Annotated[Password, about("The password.")]


@operation(
    "account.export",
    roles=EVERYONE,
    style=Style.DIRECT,
    audited=True,
    limits=(PASSWORDS_PER_ADDRESS, PASSWORDS_PER_ACCOUNT, Limit(2, 86_400)),
    errors=(NotFound, WrongCredentials),
)
async def export(cmd: Export, actor: Actor, ports: Ports, meta: Meta) -> Done:
    """Begin an export of the caller's data; a notice says when it can be downloaded.

    Raises WrongCredentials.
    """
    user = await verify_password(ports, actor.id, cmd.password)

    async def queue(uow: UnitOfWork) -> None:
        uow.later(MakeExport(new_id(File.PREFIX), user.id, uow.now))

    await ports.store.transact(queue)
    return Done()


class MakeExport(Task, frozen=True, tag="make_export"):
    """Write the archive. `id` is that of its file, so a repeated run replaces the file."""

    lane = Lane.EXPORT

    id: str
    user_id: str
    requested_at: datetime

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().get(User, self.user_id)
        if user.deleted_at:
            return
        file = ports.store.single().new(
            File,
            id=self.id,
            owner_id=user.id,
            name=f"jobsphere-{self.requested_at:%Y-%m-%d}.zip",
            type="application/zip",
            size=0,
            attached_to=self.id,
            expires_at=ports.clock.now() + EXPORT_LIFE,
        )
        if await store_generated(ports, file, archive(ports, user)):
            await ports.store.transact(lambda uow: _keep(uow, file))


async def _keep(uow: UnitOfWork, file: File) -> None:
    """Notify the owner, unless their account was deleted while the archive was made."""
    owner = await uow.get(User, file.owner_id)
    if owner.deleted_at:
        await uow.change(File, file.id, expires_at=uow.now)
        return
    until = date_text(uow.now + EXPORT_LIFE)
    await notify(
        uow,
        [file.owner_id],
        "export_ready",
        "Your data export is ready",
        f"You can download everything that we store about you until {until}.",
        file.id,
        path=f"/settings/export/{file.id}",
        always=True,
    )


# -- the archive -----------------------------------------------------------------------------


class Sink(io.RawIOBase):
    """Gathers what `zipfile` writes. It cannot seek, so sizes follow the contents."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


async def archive(ports: Ports, user: User) -> AsyncIterator[bytes]:
    """The bytes of the ZIP archive: a JSON array for each kind of record, then uploaded files."""
    sink = Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        async for name, rows in _parts(ports, user):
            with packed.open(f"{name}.json", "w", force_zip64=True) as entry:
                separator = b"["
                async for batch in batches(rows, BATCH):
                    lines = b",\n".join(msgspec.json.encode(row) for row in batch)
                    await asyncio.to_thread(entry.write, separator + lines)
                    separator = b",\n"
                    yield sink.take()
                entry.write(b"[]" if separator == b"[" else b"]")
        own = {"owner_id": user.id, "state": State.KEPT, "expires_at": None}
        async for file in ports.store.single().each(File, own, OLDEST):
            with packed.open(f"files/{file.id}/{file.name}", "w", force_zip64=True) as entry:
                async for piece in ports.blobs.read(file.id, 0, file.size):
                    await asyncio.to_thread(entry.write, piece)
                    yield sink.take()
    yield sink.take()


async def _parts(ports: Ports, user: User) -> AsyncIterator[tuple[str, AsyncIterator[Any]]]:
    """The name of each part, and its rows as JSON values."""
    uow, sessions = ports.store.single(), await ports.sessions.list(user.id)
    yield "profile", _values([wire(user)])
    yield "sessions", _values([wire(session) for session in sessions])
    own = {"contractor_id" if user.role is Role.CONTRACTOR else "customer_id": user.id}
    for name, kind, where in (
        ("passkeys", Passkey, {"user_id": user.id}),
        ("jobs", Job, own),
        ("offers", Offer, own),
        ("payments", Payment, own),
        ("disputes", Dispute, own),
        ("transactions", Transaction, {"users": user.id}),
        ("withdrawals", Withdrawal, {"user_id": user.id}),
        ("conversations", Conversation, {"members": user.id}),
        ("saved_searches", SavedSearch, {"user_id": user.id, "slot": {"$gte": 0}}),
        ("reports", Report, {"by": user.id}),
        ("files", File, {"owner_id": user.id}),
        ("notifications", FeedRow, {"user_id": user.id, "seq": {"$gt": 0}}),
        ("actions", AuditRow, {"actor_id": user.id}),
    ):
        yield name, _records(uow, kind, where)
    yield "applications", _applications(uow, user)
    yield "messages", _messages(uow, user)
    yield "dispute_entries", _dispute_entries(uow, own)


async def _values(rows: Sequence[Any]) -> AsyncIterator[Any]:
    for row in rows:
        yield row


async def _records(
    uow: UnitOfWork, kind: type[Record], where: dict[str, Any]
) -> AsyncIterator[Any]:
    async for row in uow.each(kind, where, OLDEST):
        yield wire(row)


async def _applications(uow: UnitOfWork, user: User) -> AsyncIterator[Any]:
    """A contractor's own, and those to a customer's jobs."""
    async for row in _records(uow, Application, {"contractor_id": user.id}):
        yield row
    async for job in uow.each(Job, {"customer_id": user.id}, OLDEST):
        async for row in _records(uow, Application, {"job_id": job.id}):
            yield row


async def _messages(uow: UnitOfWork, user: User) -> AsyncIterator[Any]:
    async for conversation in uow.each(Conversation, {"members": user.id}, OLDEST):
        where = {"conversation_id": conversation.id}
        async for message in uow.each(Message, where, (("seq", 1),)):
            yield wire(message)


async def _dispute_entries(uow: UnitOfWork, own: dict[str, Any]) -> AsyncIterator[Any]:
    async for dispute in uow.each(Dispute, own, OLDEST):
        async for entry in uow.each(DisputeEntry, {"dispute_id": dispute.id}, (("seq", 1),)):
            yield wire(entry)
