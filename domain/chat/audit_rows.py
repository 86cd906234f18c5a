"""The audit rows of chat messages, which are written after the messages."""

from collections.abc import Iterable
from typing import Any

from domain.chat.conversation import Message, Origin
from domain.kernel import documents
from domain.kernel.record import Change
from domain.operations import audit_log
from domain.ports.ports import Seal


def audit_rows(seal: Seal, messages: Iterable[Message]) -> list[audit_log.WaitingRow]:
    """Audit rows of users' messages. System messages have none: their cause is in the trail."""
    return [_audit_row(seal, each, each.origin) for each in messages if each.origin]


def _audit_row(seal: Seal, message: Message, origin: Origin) -> audit_log.WaitingRow:
    """The row's id is made of the message's id, so a repeat writes no second row."""
    fields: dict[str, Any] = {"conversation_id": message.conversation_id}
    fields |= {"client_id": message.client_id} if message.client_id else {}
    fields |= {"reply_to": message.reply_to.id} if message.reply_to else {}
    fields |= {"file_ids": [file.id for file in message.files]} if message.files else {}
    entry = audit_log.AuditEntry(
        operation="chat.send",
        fields=fields,
        actor_id=message.author_id,
        role=origin.role,
        session_id=origin.session_id,
        address=origin.address,
        request_id=message.request.id if message.request else None,
    )
    change = Change(Message, None, documents.document(message))
    return audit_log.sealed_row(
        message.id.replace(Message.PREFIX, audit_log.WaitingRow.PREFIX, 1),
        message.created_at,
        seal,
        entry,
        [change],
        [message.id, message.conversation_id],
    )
