"""Ends every session of a user after the commit that banned or deleted them."""

from domain.accounts.user import User
from domain.operations.task import Task
from domain.ports.ports import Ports


class EndSessions(Task, frozen=True, tag="end_sessions"):
    """End all sessions of a banned or deleted user. As a task it is retried until it succeeds."""

    user_id: str

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().get(User, self.user_id)
        if user.banned_at or user.deleted_at:
            await end_sessions(ports, user.id)


async def end_sessions(ports: Ports, user_id: str) -> None:
    for session in await ports.sessions.list(user_id):
        await ports.sessions.end(user_id, session.id)
