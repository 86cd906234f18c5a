"""What comes from the server: each push to its place, and what was missed with `sync`."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from jobsphere.catching_up import CatchingUp
from jobsphere.conversations import CHAT, MESSAGE, Conversations
from jobsphere.feed import Feed, Read
from jobsphere.pushes import Push, Subscriptions
from jobsphere.refusals import Refusal

ACCOUNT = "/account"
REVOKED = "The session has ended: sign in again."


class Incoming:
    """`on_revoked` is called when the session was ended by its user or an administrator."""

    def __init__(
        self,
        read: Read,
        subscriptions: Subscriptions,
        counts: Counter[str],
        *,
        since: int | None,
        chats: bool,
        on_revoked: Callable[[Refusal], None],
    ) -> None:
        self._subscriptions = subscriptions
        self._on_revoked = on_revoked
        self.feed = Feed(read, subscriptions, counts, since)
        self.conversations = Conversations(read, subscriptions, counts) if chats else None

    def pushed(self, namespace: str, name: str, envelope: Any) -> None:
        push: Push[Any] = Push(namespace, name, envelope["seq"], envelope["at"], envelope["data"])
        if (namespace, name) == (CHAT, MESSAGE):
            if self.conversations:
                self.conversations.take(push)
        elif push.seq is not None:
            self.feed.take(push)
        else:
            self._subscriptions.offer(push)
            if namespace == ACCOUNT:
                self._control(name, push.data)

    def _control(self, name: str, data: Any) -> None:
        if name == "head":
            self.feed.reached(data["head"])
        elif name == "resync":
            self.catch_up()
        elif name == "session.revoked" and data["reason"] == "revoked":
            self._on_revoked(Refusal("unauthenticated", REVOKED))

    def catch_up(self) -> None:
        """Anything may have been missed."""
        self.feed.catching_up.start()
        if self.conversations:
            self.conversations.look_through()

    async def caught_up(self) -> None:
        """Wait until nothing is being read that was missed."""
        while running := [part.running for part in self._parts if part.running]:
            await asyncio.wait(running)

    async def stop(self) -> None:
        await asyncio.gather(*(part.stop() for part in self._parts))

    @property
    def _parts(self) -> list[CatchingUp]:
        parts = [self.feed.catching_up]
        return [*parts, self.conversations.catching_up] if self.conversations else parts
