"""Authenticates a connection or request by its access token and its session."""

from collections.abc import Container, Iterable
from datetime import datetime
from typing import Any

from domain.kernel.actor import Actor
from domain.kernel.errors import TokenExpired, Unauthenticated
from domain.ports.sessions import EXTENDED
from server.adapters.jwt_tokens import AccessTokens
from server.adapters.redis_sessions import RedisSessions
from server.revocations import Revocations

ENDED = "This session has been ended: sign in again."


class Authenticator:
    """Finds the caller of a token, for HTTP and sockets."""

    def __init__(
        self, tokens: AccessTokens, sessions: RedisSessions, revocations: Revocations
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._revocations = revocations

    async def identify(
        self, token: Any, known: Container[str] = frozenset()
    ) -> tuple[Actor, datetime]:
        """The caller, and when the token expires. Sessions in `known` are not looked up: this
        process is notified of their end.

        While Redis is away clients cannot refresh, so tokens live longer. Raises Unauthenticated,
        TokenExpired, or Unavailable while neither Redis nor MongoDB answers.
        """
        try:
            actor, until = self._tokens.verify(token)
        except TokenExpired:
            if await self.can_refresh():
                raise
            actor, until = self._tokens.verify(token, leeway=EXTENDED)
        self.check(actor)
        if actor.session_id not in known:
            await self._must_be_alive(actor)
        return actor, until

    async def admit(self, ticket: Any, file_id: str) -> Actor:
        """The user of a file ticket. Raises Unauthenticated or TokenExpired."""
        actor = self._tokens.holder(ticket, file_id)
        self.check(actor)
        await self._must_be_alive(actor)
        return actor

    def check(self, actor: Actor) -> None:
        """Raises Unauthenticated if the caller's session ended since it was identified."""
        if self._revocations.covers(actor):
            raise Unauthenticated(ENDED)

    async def _must_be_alive(self, actor: Actor) -> None:
        """MongoDB is asked when Redis cannot be."""
        alive = await self.alive([actor.session_id])
        ended = await self._revocations.stored(actor) if alive is None else not alive
        if ended:
            raise Unauthenticated(ENDED)

    async def alive(self, session_ids: Iterable[str]) -> set[str] | None:
        """Those of the sessions that have not ended; None while Redis is away."""
        return await self._sessions.alive(session_ids)

    async def can_refresh(self) -> bool:
        return await self._sessions.reachable()
