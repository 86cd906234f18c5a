"""Who is typing in a conversation: pushed to the other member, never stored.

The process that pushed `typing: true` also ends it, TYPING_SECONDS later, unless it was repeated.
So it ends for a writer whose connection is lost, too.
"""

import asyncio
from typing import Annotated

import msgspec

from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import ConversationId, about
from domain.kernel.outbox import Event, Numbering
from domain.kernel.rooms import user_room
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.operation import operation
from domain.ports.ports import LivePush, Ports

TYPING_SECONDS = 6.0  # without a repeat


class Typing(Command, frozen=True):
    conversation_id: Annotated[Id, about("The id of the conversation.")]
    typing: Annotated[bool, about("Whether the caller is typing.")]


class TypingState(msgspec.Struct, frozen=True):
    """Whether the other member of a conversation is typing."""

    conversation_id: ConversationId
    user_id: Annotated[str, about("The id of the other member.")]
    typing: Annotated[bool, about("Whether they are typing.")]


TYPING = Event(
    "/chat",
    "typing",
    TypingState,
    Numbering.NEVER,
    about="When a member starts or stops typing, to the other member. It stops by itself after 6 "
    "seconds without another `typing: true`.",
)


class TypingTimers:
    """The members who are typing, as this process has pushed it, with the time at which it ends."""

    def __init__(self, live: LivePush) -> None:
        self._live = live
        self._ends: dict[TypingState, float] = {}
        self._others: dict[TypingState, tuple[str, ...]] = {}

    def push(self, state: TypingState, others: tuple[str, ...]) -> None:
        """Push a state to the other members."""
        for other in others:
            self._live.push(TYPING, state, room=user_room(other))
        ending = TypingState(state.conversation_id, state.user_id, typing=False)
        if not state.typing:
            self._ends.pop(ending, None)
            return
        loop = asyncio.get_running_loop()
        if ending not in self._others:
            self._others[ending] = others
            loop.call_later(TYPING_SECONDS, self._look, ending)
        self._ends[ending] = loop.time() + TYPING_SECONDS

    def end_all(self) -> None:
        """This process stops."""
        for ending in tuple(self._ends):
            self.push(ending, self._others[ending])

    def _look(self, ending: TypingState) -> None:
        """One timer for each member, however often they repeat it: it moves on when it fires."""
        loop, end = asyncio.get_running_loop(), self._ends.get(ending)
        if end is not None and end > loop.time():
            loop.call_at(end, self._look, ending)
            return
        others = self._others.pop(ending)
        if end is not None:
            self.push(ending, others)


@operation("chat.typing", roles=PARTIES, style=Style.DIRECT, instant=True, errors=(NotFound,))
async def typing(cmd: Typing, actor: Actor, ports: Ports, meta: Meta) -> None:
    """Push the typing state to the other member's connections, and its end 6 seconds later.

    A repeat within that time prolongs it. Raises NotFound, also for members who may not reach each
    other.
    """
    others = await ports.members.others(cmd.conversation_id, actor.id)
    ports.typing.push(TypingState(cmd.conversation_id, actor.id, cmd.typing), others)
