"""Protocols: the queue that writes chat messages, and the lookup of conversation members."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol


class MessageQueue(Protocol):
    """Writes the messages of a process together, as one group commit.

    Drafts and messages are those of `chat/`, which imports the ports, so they are untyped here.
    """

    def post(self, draft: Any) -> Awaitable[Any]:
        """Queue a draft, and return an awaitable of its message.

        Raises Unavailable at once if the queue is full or closed. Awaiting it raises the refusal of
        the message: NotFound, Blocked, RequestIdReused, RequestInProgress.
        """
        ...

    async def push(self, message: Any, to: Sequence[str]) -> None:
        """Push a message to these users under its number in the conversation."""
        ...


class Members(Protocol):
    """The members of conversations."""

    async def others(self, conversation_id: str, user_id: str) -> tuple[str, ...]:
        """The other members. Raises NotFound for a user who is no member."""
        ...

    async def others_in_all(self, conversation_ids: tuple[str, ...], user_id: str) -> list[str]:
        """The other members of all these conversations, each once.

        Raises NotFound, with the ids in `conversations`.
        """
        ...
