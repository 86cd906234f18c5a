"""Files: HTTP only, because their bytes are streamed in both directions."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from domain.files import file as files
from domain.files.file import Get, Received, Upload
from domain.kernel.actor import Actor
from domain.kernel.record import wire
from domain.operations.command import Meta
from domain.operations.operation import Operation, record_read
from domain.ports.ports import Ports
from handlers.expose import Answer, Namespace, Stream, answer

file = Namespace("/files")

file.expose(files.upload, http="POST /api/files", socket=False, streamed=True)
file.expose(files.get, http="GET /api/files/{file_id}", socket=False, streamed=True)
file.expose(files.ticket, http="POST /api/files/{file_id}/ticket", socket=False)

UPLOAD, GET = (exposed.operation for exposed in file.exposed if exposed.streamed)

Receive = Callable[[], AbstractAsyncContextManager[Received]]


async def keep(receive: Receive, actor: Actor, meta: Meta, ports: Ports) -> Answer:
    """Receive and store an upload; refusals are answered as for a command."""
    return await answer(UPLOAD, receive, actor, meta, ports, run=_keep)


async def _keep(op: Operation, receive: Receive, actor: Actor, meta: Meta, ports: Ports) -> Any:
    op.admit(actor)
    await files.check_room(ports.store.single(), actor.id, more=1)
    async with receive() as received:
        kept = await files.upload(Upload(), actor, ports, received)
    await record_read(op, {"name": kept.name, "type": kept.type}, actor, meta, ports, [kept.id])
    return wire(kept)


class Reading(msgspec.Struct, frozen=True):
    """The GET route, in the form that `wallet.statement` has too."""

    path: str
    operation: Operation

    async def open(self, fields: Any, actor: Actor, meta: Meta, ports: Ports) -> Answer:
        return await answer(self.operation, fields, actor, meta, ports, run=self._open)

    async def _open(
        self, op: Operation, fields: Any, actor: Actor, meta: Meta, ports: Ports
    ) -> Stream:
        op.admit(actor)
        fields, command = op.parse(fields, meta.text)
        assert isinstance(command, Get)
        found = await files.get(command, actor, ports.store.single())
        await record_read(op, fields, actor, meta, ports, [found.id])
        key, size, type = found.id, found.size, found.type
        if command.size:
            key, size, type = files.thumbnail_of(found.id), found.thumbnail_size, files.THUMBNAIL
        return Stream(
            found.name,
            type,
            lambda start, end: ports.blobs.read(key, start, end),
            size,
            f'"{key}"',
        )


READING = Reading("/api/files/{file_id}", GET)
