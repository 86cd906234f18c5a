"""Who is typing in a conversation: pushed to the other member, never stored."""

from typing import Annotated

import msgspec

from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.fields import ConversationId, about
from domain.kernel.outbox import Event, Numbering
from domain.kernel.rooms import user_room
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports


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
    about="When a member starts or stops typing, to the other member. Forget it after some "
    "seconds without another.",
)


@operation("chat.typing", roles=PARTIES, style=Style.DIRECT, instant=True, errors=(NotFound,))
async def typing(cmd: Typing, actor: Actor, ports: Ports, meta: Meta) -> None:
    """Push the typing state to the other member's connections. Raises NotFound."""
    for other in await ports.members.others(cmd.conversation_id, actor.id):
        types = TypingState(cmd.conversation_id, actor.id, cmd.typing)
        ports.live.push(TYPING, types, room=user_room(other))
