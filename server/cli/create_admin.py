"""`server admin create`: opens an administrator's account, which cannot be registered."""

from domain.accounts.password_policy import check_password
from domain.accounts.sign_in import Register, register
from domain.accounts.user import new_user
from domain.kernel.actor import PartyRole, Role
from domain.kernel.errors import EmailTaken
from domain.kernel.store import Duplicate, UnitOfWork
from domain.operations.audit_log import AuditEntry, record
from domain.operations.operation import Operation
from domain.registry import RECORDS
from server.config import Settings
from server.container import CannotServe, Container
from server.demo_accounts import DEMO_PASSWORD

REGISTER: Operation = register.operation  # type: ignore[attr-defined]


async def create_admin(settings: Settings, email: str, name: str, password: str) -> None:
    """The rules are those of registering. Raises Invalid, EmailTaken or CannotServe."""
    fields = {"email": email, "name": name, "password": password, "role": PartyRole.CUSTOMER}
    _, given = REGISTER.parse(fields, text=False)
    assert isinstance(given, Register)
    if password == DEMO_PASSWORD:
        raise CannotServe("This password is the public one of the demo accounts: choose another.")
    check_password(given.password, email=given.email, name=given.name)
    container = Container(settings)
    try:
        await container.store.prepare(RECORDS)
        user = await new_user(
            container.ports,
            email=given.email,
            password=given.password,
            name=given.name,
            role=Role.ADMIN,
            verified=True,  # by who runs the server
        )

        async def work(uow: UnitOfWork) -> None:
            await uow.add(user)
            await record(
                uow, container.ports.seal, AuditEntry(operation="cli.create_admin", fields={})
            )

        await container.store.transact(work)
    except Duplicate as taken:
        raise EmailTaken from taken
    finally:
        await container.close()
