"""Who is typing in a conversation: pushed to the other member, never stored."""

import msgspec

from domain.kernel.actor import PARTIES, Actor
from domain.kernel.errors import NotFound
from domain.kernel.outbox import Event
from domain.kernel.rooms import user_room
from domain.operations.command import Command, Id, Meta, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports

TYPING = Event("/chat", "typing")


class Typing(Command, frozen=True):
    conversation_id: Id
    typing: bool


class Types(msgspec.Struct, frozen=True):
    conversation_id: str
    user_id: str
    typing: bool


@operation("chat.typing", roles=PARTIES, style=Style.DIRECT, instant=True, errors=(NotFound,))
async def typing(cmd: Typing, actor: Actor, ports: Ports, meta: Meta) -> None:
    """Push the typing state to the other member's connections. Raises NotFound."""
    for other in await ports.members.others(cmd.conversation_id, actor.id):
        types = Types(cmd.conversation_id, actor.id, cmd.typing)
        ports.live.push(TYPING, types, room=user_room(other))
