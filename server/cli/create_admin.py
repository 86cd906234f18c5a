"""Opens administrators' accounts: nobody can register as one."""

import msgspec

from domain.accounts.sign_in import Register
from domain.accounts.user import new_user
from domain.kernel.actor import Role
from domain.kernel.errors import EmailTaken
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.operations.operation import invalid
from domain.registry import RECORDS
from server.config import Settings
from server.container import CannotServe, Core
from server.demo_accounts import DEMO_PASSWORD


async def create_admin(settings: Settings, email: str, name: str, password: str) -> None:
    """The same rules as for registering. Raises Invalid, EmailTaken or CannotServe."""
    fields = {"email": email, "name": name, "password": password, "role": "admin"}
    try:
        given = msgspec.convert(fields, Register)
    except msgspec.ValidationError as refused:
        raise invalid(refused) from refused
    if password == DEMO_PASSWORD:
        raise CannotServe("This password is the public one of the demo accounts: choose another.")
    core = Core(settings)
    try:
        await core.store.prepare(RECORDS)
        user = await new_user(
            core.ports,
            email=given.email,
            password=given.password,
            name=given.name,
            role=Role.ADMIN,
        )

        async def work(uow: UnitOfWork) -> None:
            await uow.add(user)
            await record(uow, core.ports.seal, AuditEntry(operation="cli.create_admin", fields={}))

        await core.store.transact(work)
    except Duplicate as taken:
        raise EmailTaken from taken
    finally:
        await core.close()
