"""Protocols: the queue that writes chat messages, the lookup of conversation members, and the end
of their typing."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

import msgspec


class ReachChange(msgspec.Struct, frozen=True, array_like=True):
    """Two users may reach each other from now on, or no longer, and their conversations."""

    users: tuple[str, str]
    conversation_ids: tuple[str, ...]
    reachable: bool


class MessageQueue(Protocol):
    """Writes the messages of a process together, as one group commit.

    Drafts and messages are those of `chat/`, which imports the ports, so they are untyped here.
    """

    def post(self, draft: Any) -> Awaitable[Any]:
        """Queue a draft, and return an awaitable of its message.

        Raises Unavailable at once if the queue is full or closed. Awaiting it raises the refusal of
        the message: NotFound, Blocked, Unreachable, RequestIdReused, RequestInProgress.
        """
        ...

    async def push(self, message: Any, to: Sequence[str]) -> None:
        """Push a message to these users under its number in the conversation."""
        ...


class Members(Protocol):
    """The members of conversations."""

    async def others(self, conversation_id: str, user_id: str) -> tuple[str, ...]:
        """The other members. Raises NotFound for a user who is no member, and Unreachable if
        they may not be reached."""
        ...

    async def reachable(self, conversation_ids: tuple[str, ...], user_id: str) -> list[str]:
        """The other members of all these conversations who may be reached, each once.

        Raises NotFound, with the ids in `conversations`.
        """
        ...


class Typing(Protocol):
    """Pushes who is typing, and ends it in time. States are those of `chat/`, so untyped here."""

    def push(self, state: Any, others: tuple[str, ...]) -> None:
        """Push a state to the other members."""
        ...
