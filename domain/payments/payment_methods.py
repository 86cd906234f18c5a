"""Saved means to pay: kept at Stripe alone, under the customer's own Stripe customer."""

from typing import Annotated

import msgspec
from msgspec import Meta as Limits

from domain.accounts.user import User
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import NotFound, Unavailable
from domain.kernel.store import UnitOfWork, new_id
from domain.operations.command import Command, Meta, Nothing, Style
from domain.operations.operation import operation
from domain.operations.post_once import post_once
from domain.operations.task import Task
from domain.ports.payment_gateway import GatewayRefused, GatewayUnknown, PaymentMethod, SetupIntent
from domain.ports.ports import Ports

CUSTOMERS = {Role.CUSTOMER}


class SavedMethod(msgspec.Struct, frozen=True):
    """A method as its owner sees it; `id` may be given to `bidding.create`."""

    id: str
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


class SavedMethods(msgspec.Struct, frozen=True):
    items: list[SavedMethod]


class Detach(Command, frozen=True):
    method_id: Annotated[str, Limits(pattern=r"^pm_[A-Za-z0-9_]{1,80}(?!\n)$")]


class MethodSetup(msgspec.Struct, frozen=True):
    """What Stripe.js needs to save a method; null if Stripe is slow: then ask again."""

    client_secret: str | None


async def setup_reply(user_id: str, actor: Actor, ports: Ports) -> MethodSetup:
    """A new SetupIntent each time; one that is never confirmed has no effect."""
    await ports.waiter.settled(user_id)
    user = await ports.store.single().get(User, actor.id)
    if user.customer_id is None:
        return MethodSetup(None)
    try:
        made: SetupIntent = await ports.gateway.setup(
            user.customer_id, key=f"setup:{new_id('stp')}"
        )
    except (GatewayUnknown, GatewayRefused):
        return MethodSetup(None)
    return MethodSetup(made.client_secret)


@operation("payment.setup", roles=CUSTOMERS, reply=setup_reply)
async def setup(cmd: Nothing, actor: Actor, uow: UnitOfWork) -> User:
    """Save a card or another method for later offers."""
    user = await uow.get(User, actor.id)
    if user.customer_id is None:
        uow.later(CreateCustomer(user.id))
    return user


@operation("payment.methods", roles=CUSTOMERS, style=Style.DIRECT)
async def methods(cmd: Nothing, actor: Actor, ports: Ports, meta: Meta) -> SavedMethods:
    """One's saved methods. Raises Unavailable when Stripe does not answer."""
    user = await ports.store.single().get(User, actor.id)
    if user.customer_id is None:
        return SavedMethods([])
    try:
        found = await ports.gateway.methods(user.customer_id)
    except (GatewayUnknown, GatewayRefused) as away:
        raise Unavailable from away
    return SavedMethods([_saved_method(method) for method in found])


@operation("payment.detach", roles=CUSTOMERS, style=Style.DIRECT, audited=True)
async def detach(cmd: Detach, actor: Actor, ports: Ports, meta: Meta) -> SavedMethod:
    """Forget a method; holds made with it stay. Raises NotFound, Unavailable."""
    user = await ports.store.single().get(User, actor.id)
    try:
        found = await ports.gateway.method(cmd.method_id)
        if user.customer_id is None or found.customer_id != user.customer_id:
            raise NotFound
        return _saved_method(await ports.gateway.detach(found.id, key=f"detach:{new_id('dtc')}"))
    except GatewayRefused as refused:
        raise NotFound from refused
    except GatewayUnknown as away:
        raise Unavailable from away


def _saved_method(method: PaymentMethod) -> SavedMethod:
    return SavedMethod(
        method.id, method.type, method.brand, method.last4, method.exp_month, method.exp_year
    )


class CreateCustomer(Task, frozen=True, tag="create_customer"):
    """Make the Stripe customer that a user's methods belong to."""

    user_id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().get(User, self.user_id)
        if user.customer_id:
            return
        id = await post_once(
            ports,
            key=self.key,
            since=user.created_at,
            find=lambda: ports.gateway.find_customer(user.id, user.created_at),
            post=lambda: ports.gateway.create_customer(
                key=f"customer:{user.id}:{self.key}", email=user.email, user_id=user.id
            ),
            next_key=CreateCustomer(self.user_id, self.key + 1),
        )
        await ports.store.single().change(
            User, user.id, only_if={"customer_id": None}, customer_id=id
        )
