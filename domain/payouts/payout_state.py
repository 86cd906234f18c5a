"""`account.payout_state`: what Stripe still wants, read again when a person comes back from it."""

from domain.accounts.user import User
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import NotFound, Unavailable
from domain.operations.command import Meta, NoFields, Style
from domain.operations.limits import stripe_calls
from domain.operations.operation import operation
from domain.operations.task import TryAgain
from domain.payouts.transfer_tasks import refresh_account
from domain.ports.payment_gateway import GatewayRefused, GatewayUnknown
from domain.ports.ports import Ports


@operation(
    "account.payout_state",
    roles={Role.CONTRACTOR},
    style=Style.DIRECT,
    limits=(stripe_calls(2),),
    errors=(NotFound,),
)
async def payout_state(cmd: NoFields, actor: Actor, ports: Ports, meta: Meta) -> User:
    """Read from Stripe how far the caller's payouts are set up. Raises NotFound, Unavailable."""
    user = await ports.store.single().get(User, actor.id)
    if user.connect_id is None:
        return user
    try:
        await refresh_account(ports, user.connect_id)
    except (GatewayUnknown, GatewayRefused, TryAgain) as failure:
        raise Unavailable from failure
    return await ports.store.single().get(User, actor.id)
