"""Protocols: the queue that writes chat messages, and the lookup of conversation members."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol


class MessageQueue(Protocol):
    """Writes the messages of a process together, as one group commit.

    Drafts and messages are those of `chat/conversation.py`, which stands above the ports.
    """

    def post(self, draft: Any) -> Awaitable[Any]:
        """Fix the place of a draft among those that wait, and await the message.

        Raises Unavailable at once when the queue is full or closed. Awaiting it raises what a
        message can be refused with.
        """
        ...

    async def push(self, message: Any, to: Sequence[str]) -> None:
        """Push a message to these users under its own number."""
        ...


class Members(Protocol):
    """Who takes part in which conversation."""

    async def others(self, conversation_id: str, user_id: str) -> tuple[str, ...]:
        """The other members. Raises NotFound for a user who is no member."""
        ...

    async def others_in_all(self, conversation_ids: tuple[str, ...], user_id: str) -> list[str]:
        """The other members of all of them, each once. Raises NotFound with `conversations`."""
        ...
