"""/chat: conversations, messages, read receipts, typing and presence."""

from domain.chat import (
    conversation,
    history,
    messages,
    read_receipts,
    reports,
    typing_indicator,
)
from domain.jobs import blocks, conversations
from domain.presence import presence
from handlers.expose import Namespace

chat = Namespace("/chat")

# Fixed paths come before `{conversation_id}`, which would match them as well.
chat.expose(conversations.open_, http="POST /api/chat")
chat.expose(history.list_, http="GET /api/chat")
chat.expose(messages.send, http="POST /api/chat/{conversation_id}/messages")
chat.expose(history.history, http="GET /api/chat/{conversation_id}/messages")
chat.expose(history.read, http="POST /api/chat/{conversation_id}/read")
chat.expose(history.sync, http="POST /api/chat/sync")
chat.expose(messages.edit, http="PATCH /api/chat/{conversation_id}/messages/{message_id}")
chat.expose(messages.delete, http="DELETE /api/chat/{conversation_id}/messages/{message_id}")
chat.expose(messages.react, http="POST /api/chat/{conversation_id}/messages/{message_id}/react")
chat.expose(messages.find, http="GET /api/chat/search")
chat.expose(history.get, http="GET /api/chat/{conversation_id}")
chat.expose(blocks.block, http="POST /api/chat/{conversation_id}/block")
chat.expose(reports.report, http="POST /api/chat/{conversation_id}/report")
chat.expose(typing_indicator.typing)
chat.expose(presence.presence)

chat.pushes = (
    conversation.MESSAGE,
    read_receipts.READ,
    typing_indicator.TYPING,
    presence.PRESENCE,
)
