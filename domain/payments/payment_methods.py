"""Saved payment methods. They are stored only at Stripe, under the user's Stripe customer."""

from typing import Annotated

import msgspec

from domain.accounts.user import User
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import NotFound, Unavailable
from domain.kernel.fields import about
from domain.kernel.store import UnitOfWork, new_id
from domain.notifications.refusals import alert_refused, key_number
from domain.notifications.templates.refusals import reason_of
from domain.operations.command import Command, Meta, NoFields, PaymentMethodId, Style
from domain.operations.limits import stripe_calls
from domain.operations.operation import operation
from domain.operations.post_once import post_once
from domain.operations.task import Task
from domain.payments.card_attempts import count_setup, require_attempt
from domain.ports.payment_gateway import GatewayRefused, GatewayUnknown, PaymentMethod, SetupIntent
from domain.ports.ports import Ports
from domain.ports.refusal import Refusal

CUSTOMERS = {Role.CUSTOMER}


class SavedMethod(msgspec.Struct, frozen=True):
    """A payment method as its owner sees it. `bidding.create` accepts its `id`."""

    id: Annotated[str, about("The id of the method at Stripe, pm_...")]
    type: Annotated[str, about("The kind of method, such as card.")]
    brand: Annotated[str | None, about("The brand of a card; otherwise null.")]
    last4: Annotated[str | None, about("The last four digits of a card; otherwise null.")]
    exp_month: Annotated[int | None, about("The month when a card expires; otherwise null.")]
    exp_year: Annotated[int | None, about("The year when a card expires; otherwise null.")]
    is_default: Annotated[bool, about("Whether the customer pays with it unless they choose.")]


class SavedMethods(msgspec.Struct, frozen=True):
    """The saved payment methods of a customer."""

    items: Annotated[list[SavedMethod], about("All saved methods.")]


class ByMethod(Command, frozen=True):
    method_id: Annotated[
        PaymentMethodId, about("The id of the payment method, which begins with pm_.")
    ]


class MethodSetup(msgspec.Struct, frozen=True):
    """The secret with which Stripe.js saves a method; null if Stripe did not answer in time or
    refused."""

    client_secret: Annotated[
        str | None,
        about(
            "Stripe.js or Stripe's mobile SDKs save a method with it (a SetupIntent), and with the "
            "`payments.stripe_publishable_key` of `GET /api/meta`. Null if Stripe is slow, or "
            "refuses."
        ),
    ]
    refusal: Annotated[
        str | None, about("Why Stripe refuses, in words for the user; null if it does not.")
    ] = None


async def setup_reply(user_id: str, actor: Actor, ports: Ports) -> MethodSetup:
    """Create a new SetupIntent for each request; an unconfirmed one has no effect."""
    await ports.waiter.settled(user_id)
    user = await ports.store.single().get(User, actor.id)
    if user.customer_id is None:
        return MethodSetup(None, user.customer_refusal)
    try:
        intent: SetupIntent = await ports.gateway.setup(
            user.customer_id, key=f"setup:{new_id('stp')}"
        )
    except GatewayUnknown:
        return MethodSetup(None)
    except GatewayRefused as refused:
        refusal, what = refused.refusal, "A customer can save no way to pay"
        await ports.store.transact(lambda uow: store_refusal(uow, user_id, refusal, what))
        return MethodSetup(None, reason_of(refusal.code))
    return MethodSetup(intent.client_secret)


async def store_refusal(uow: UnitOfWork, user_id: str, refusal: Refusal, what: str) -> None:
    """Keep why nothing can be saved, which the reply tells the customer; alert administrators.

    A customer that was deleted in Stripe's dashboard is forgotten: the next try creates another.
    """
    gone = refusal.code == "resource_missing" and refusal.param == "customer"
    await uow.change(
        User,
        user_id,
        inc={"customer_attempts": 1},
        customer_refusal=reason_of(refusal.code),
        **({"customer_id": None} if gone else {}),
    )
    next_step = "They have been told, and can try again once the cause is gone"
    await alert_refused(uow, "customer_refused", user_id, refusal, what, next_step)


@operation(
    "payment.setup",
    roles=CUSTOMERS,
    reply=setup_reply,
    limits=(stripe_calls(2),),
    errors=(NotFound,),
)
async def setup(cmd: NoFields, actor: Actor, uow: UnitOfWork) -> User:
    """Prepare the saving of a card or another payment method for later offers.

    Who tries many cards has to wait: RateLimited.
    """
    user = await uow.get(User, actor.id)
    await require_attempt(uow, user.id)
    await count_setup(uow, user.id)
    if user.customer_refusal:
        user = await uow.change(User, user.id, customer_refusal=None) or user
    if user.customer_id is None:
        uow.later(CreateCustomer(user.id))
    return user


@operation(
    "payment.methods",
    roles=CUSTOMERS,
    style=Style.DIRECT,
    limits=(stripe_calls(1),),
    errors=(NotFound,),
)
async def methods(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> SavedMethods:
    """The actor's saved methods. Raises Unavailable when Stripe does not answer."""
    user = await ports.store.single().get(User, actor.id)
    if user.customer_id is None:
        return SavedMethods([])
    try:
        found = await ports.gateway.methods(user.customer_id)
    except (GatewayUnknown, GatewayRefused) as failure:
        raise Unavailable from failure
    return SavedMethods([_saved_method(method, user) for method in found])


@operation(
    "payment.detach",
    roles=CUSTOMERS,
    style=Style.DIRECT,
    audited=True,
    limits=(stripe_calls(2),),
    errors=(NotFound,),
)
async def detach(cmd: ByMethod, actor: Actor, ports: Ports, meta: Meta) -> SavedMethod:
    """Delete a saved method; holds made with it remain. Raises NotFound, Unavailable."""
    uow = ports.store.single()
    user = await uow.get(User, actor.id)
    found = await _own_method(ports, user, cmd.method_id)
    try:
        deleted = await ports.gateway.detach(found.id, key=f"detach:{new_id('dtc')}")
    except GatewayRefused as refused:
        raise NotFound from refused
    except GatewayUnknown as failure:
        raise Unavailable from failure
    await uow.change(User, user.id, only_if={"default_method": found.id}, default_method=None)
    return _saved_method(deleted)


@operation(
    "payment.default",
    roles=CUSTOMERS,
    style=Style.DIRECT,
    audited=True,
    limits=(stripe_calls(1),),
    errors=(NotFound,),
)
async def default(cmd: ByMethod, actor: Actor, ports: Ports, meta: Meta) -> SavedMethod:
    """Make a saved method the one that clients propose first. Raises NotFound, Unavailable."""
    uow = ports.store.single()
    user = await uow.get(User, actor.id)
    found = await _own_method(ports, user, cmd.method_id)
    changed = await uow.change(User, user.id, default_method=found.id)
    if changed is None:
        raise NotFound
    return _saved_method(found, changed)


async def _own_method(ports: Ports, user: User, method_id: str) -> PaymentMethod:
    """A method that is saved for the user. Raises NotFound, Unavailable."""
    try:
        found = await ports.gateway.method(method_id)
    except GatewayRefused as refused:
        raise NotFound from refused
    except GatewayUnknown as failure:
        raise Unavailable from failure
    if user.customer_id is None or found.customer_id != user.customer_id:
        raise NotFound
    return found


def _saved_method(method: PaymentMethod, user: User | None = None) -> SavedMethod:
    """The method, which may be the default of its user."""
    return SavedMethod(
        method.id,
        method.type,
        method.brand,
        method.last4,
        method.exp_month,
        method.exp_year,
        user is not None and user.default_method == method.id,
    )


class CreateCustomer(Task, frozen=True, tag="create_customer"):
    """Create the Stripe customer under which a user's methods are saved."""

    user_id: str
    key: int = 0

    async def run(self, ports: Ports) -> None:
        user = await ports.store.single().get(User, self.user_id)
        if user.customer_id or user.deleted_at:
            return
        id = await post_once(
            ports,
            key=self.key,
            since=user.created_at,
            find=lambda: ports.gateway.find_customer(user.id, user.created_at),
            post=lambda: ports.gateway.create_customer(
                key=f"customer:{user.id}:{key_number(user.customer_attempts, self.key)}",
                email=user.email,
                user_id=user.id,
            ),
            next_key=CreateCustomer(self.user_id, self.key + 1),
            refused=lambda refused: self._refused(ports, refused),
        )
        if id:
            await ports.store.single().change(
                User, user.id, only_if={"customer_id": None}, customer_id=id
            )

    async def _refused(self, ports: Ports, refused: GatewayRefused) -> None:
        what = "Stripe keeps no record of a customer, who can save no way to pay"
        await ports.store.transact(
            lambda uow: store_refusal(uow, self.user_id, refused.refusal, what)
        )
