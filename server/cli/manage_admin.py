"""`server admin disable`, `reset-password` and `reset-2fa`: for an administrator who lost the way
in, or must not get in any more. Each is audited and ends their sessions."""

from collections.abc import Awaitable, Callable

from domain.accounts.mailed_tokens import void_with_password
from domain.accounts.password_policy import check_password
from domain.accounts.second_factor import reset_second_factors
from domain.accounts.security_changes import SecurityFact, announce
from domain.accounts.sessions import end_all_sessions, end_revoked_sessions
from domain.accounts.sign_in import Register, register
from domain.accounts.user import User
from domain.admin.bans import disable_administrator
from domain.kernel.actor import PartyRole, Role
from domain.kernel.email_address import email_to_find
from domain.kernel.store import UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.operations.operation import Operation
from domain.ports.ports import Ports
from server.config import Settings
from server.container import CannotServe, Container
from server.demo_accounts import DEMO_PASSWORD

REGISTER: Operation = register.operation  # type: ignore[attr-defined]


async def disable(settings: Settings, email: str, reason: str) -> None:
    """Ban an administrator. Raises CannotServe, Conflict for the last one."""

    async def run(ports: Ports, admin: User) -> None:
        async def work(uow: UnitOfWork) -> None:
            await disable_administrator(uow, admin, reason)
            fields = {"user_id": admin.id, "reason": reason}
            await record(uow, ports.seal, AuditEntry("cli.disable_admin", fields))

        await ports.store.transact(work)
        await end_revoked_sessions(ports, admin.id)

    await _with_admin(settings, email, run)


async def reset_password(settings: Settings, email: str, password: str) -> None:
    """Set a password, by the rules of registering. Raises CannotServe, Invalid."""
    fields = {"email": email, "name": "-", "password": password, "role": PartyRole.CUSTOMER}
    _, given = REGISTER.parse(fields, text=False)
    assert isinstance(given, Register)
    if password == DEMO_PASSWORD:
        raise CannotServe("This password is the public one of the demo accounts: choose another.")

    async def run(ports: Ports, admin: User) -> None:
        check_password(given.password, email=admin.email, name=admin.name)
        hashed = await ports.passwords.hash(given.password)

        async def work(uow: UnitOfWork) -> None:
            await uow.change(User, admin.id, password_hash=hashed)
            await void_with_password(uow, admin.id)
            await end_all_sessions(uow, admin.id)
            announce(uow, admin.id, SecurityFact.PASSWORD_CHANGED)
            entry = AuditEntry("cli.reset_admin_password", {"user_id": admin.id})
            await record(uow, ports.seal, entry)

        await ports.store.transact(work)
        await end_revoked_sessions(ports, admin.id)

    await _with_admin(settings, email, run)


async def reset_2fa(settings: Settings, email: str) -> None:
    """Remove all second factors: the next sign-in sets up new ones. Raises CannotServe."""

    async def run(ports: Ports, admin: User) -> None:
        entry = AuditEntry("cli.reset_admin_2fa", {"user_id": admin.id})
        await reset_second_factors(ports, admin.id, entry)

    await _with_admin(settings, email, run)


async def _with_admin(
    settings: Settings, email: str, run: Callable[[Ports, User], Awaitable[None]]
) -> None:
    container = Container(settings)
    try:
        found = await container.store.single().find(User, {"email": email_to_find(email)})
        if found is None or found.role is not Role.ADMIN:
            raise CannotServe(f"{email} is no administrator's address.")
        await run(container.ports, found)
    finally:
        await container.close()
