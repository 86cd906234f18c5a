"""/chat: conversations of customers and contractors, and their messages."""

from domain import chat as rules
from domain import introductions, moderation, presence, talking
from handlers.expose import Namespace

chat = Namespace("/chat")

chat.expose(introductions.open_, http="POST /api/chat")
chat.expose(rules.list_, http="GET /api/chat")
chat.expose(talking.send, http="POST /api/chat/{conversation_id}/messages")
chat.expose(rules.history, http="GET /api/chat/{conversation_id}/messages")
chat.expose(rules.read, http="POST /api/chat/{conversation_id}/read")
chat.expose(rules.sync, http="POST /api/chat/sync")
chat.expose(talking.edit, http="PATCH /api/chat/{conversation_id}/messages/{message_id}")
chat.expose(talking.delete, http="DELETE /api/chat/{conversation_id}/messages/{message_id}")
chat.expose(talking.react, http="POST /api/chat/{conversation_id}/messages/{message_id}/react")
chat.expose(talking.find, http="GET /api/chat/search")
chat.expose(moderation.block, http="POST /api/chat/{conversation_id}/block")
chat.expose(moderation.report, http="POST /api/chat/{conversation_id}/report")
chat.expose(presence.typing)
chat.expose(presence.presence)
