"""/chat: conversations of customers and contractors, and their messages."""

from domain import chat as rules
from domain import introductions, presence
from handlers.expose import Namespace

chat = Namespace("/chat")

chat.expose(introductions.open_, http="POST /api/chat")
chat.expose(rules.list_, http="GET /api/chat")
chat.expose(rules.send, http="POST /api/chat/{conversation_id}/messages")
chat.expose(rules.history, http="GET /api/chat/{conversation_id}/messages")
chat.expose(rules.read, http="POST /api/chat/{conversation_id}/read")
chat.expose(rules.sync, http="POST /api/chat/sync")
chat.expose(presence.typing)
chat.expose(presence.presence)
