"""Whose an object at Stripe is: other integrations may use the same Stripe account.

What is made here carries ids of ours in its metadata, so it stays ours when our record is missing.
"""

from domain.accounts.user import User
from domain.deals.payment import Payment
from domain.kernel.store import UnitOfWork
from domain.ports.payment_gateway import CardDispute, Intent, StripeMovement


def is_foreign_intent(intent: Intent) -> bool:
    """Whether it was made elsewhere."""
    return "payment_id" not in intent.metadata


async def is_foreign_transfer(uow: UnitOfWork, made: StripeMovement) -> bool:
    """Whether it was made elsewhere, to an account that no contractor has."""
    if "fact" in made.metadata:
        return False
    for field in ("connect_id", "closed_accounts"):
        if await uow.find(User, {field: made.account_id}):
            return False
    return True


async def is_foreign_dispute(uow: UnitOfWork, dispute: CardDispute) -> bool:
    """Whether it is about a charge of no payment."""
    for where in ({"charge_id": dispute.charge_id}, {"intent_id": dispute.intent_id}):
        if None not in where.values() and await uow.find(Payment, where):
            return False
    return True
