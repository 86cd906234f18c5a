"""Authenticates a connection or request by its access token and its session."""

from collections.abc import Container
from datetime import datetime, timedelta
from typing import Any

from domain.kernel.actor import Actor
from domain.kernel.errors import TokenExpired, Unauthenticated
from server.adapters.jwt_tokens import AccessTokens
from server.adapters.redis_sessions import RedisSessions

EXTENDED = timedelta(hours=1)  # what an access token lives longer while Redis is away


class Gatekeeper:
    """From a bearer token to who is calling, for both wires."""

    def __init__(self, tokens: AccessTokens, sessions: RedisSessions) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def identify(
        self, token: Any, known: Container[str] = frozenset()
    ) -> tuple[Actor, datetime]:
        """The caller and when the token ends. `known` are sessions that were looked at before and
        whose end would have been told.

        While Redis is away nobody can refresh, so tokens are good for longer. Raises
        Unauthenticated or TokenExpired.
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
        """Who reads a file with a ticket. Raises Unauthenticated or TokenExpired."""
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
