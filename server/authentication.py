"""Authenticates a connection or request by its access token and its session."""

from collections.abc import Container
from datetime import datetime, timedelta
from typing import Any

from domain.kernel.actor import Actor
from domain.kernel.errors import TokenExpired, Unauthenticated
from server.adapters.jwt_tokens import AccessTokens
from server.adapters.redis_sessions import RedisSessions

EXTENDED = timedelta(hours=1)  # a longer life of access tokens while Redis is away


class Authenticator:
    """Finds the caller of a token, for HTTP and sockets."""

    def __init__(self, tokens: AccessTokens, sessions: RedisSessions) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def identify(
        self, token: Any, known: Container[str] = frozenset()
    ) -> tuple[Actor, datetime]:
        """The caller, and when the token expires. Sessions in `known` are not looked up: this
        process is notified of their end.

        While Redis is away clients cannot refresh, so tokens live longer. Raises Unauthenticated or
        TokenExpired.
        """
        try:
            actor, until = self._tokens.verify(token)
        except TokenExpired:
            if await self.can_refresh():
                raise
            actor, until = self._tokens.verify(token, leeway=EXTENDED)
        if actor.session_id not in known:
            await self._must_be_alive(actor)
        return actor, until

    async def admit(self, ticket: Any, file_id: str) -> Actor:
        """The user of a file ticket. Raises Unauthenticated or TokenExpired."""
        actor = self._tokens.holder(ticket, file_id)
        await self._must_be_alive(actor)
        return actor

    async def _must_be_alive(self, actor: Actor) -> None:
        if not await self.alive(actor.session_id):
            raise Unauthenticated("This session has been ended: sign in again.")

    async def alive(self, session_id: str) -> bool:
        return await self._sessions.alive(session_id)

    async def can_refresh(self) -> bool:
        return await self._sessions.reachable()
