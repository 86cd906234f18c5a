"""The money in escrow, offer by offer: whose it is, what it waits for, and since when."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.accounts.user import User
from domain.admin.lists import AccountKind
from domain.deals.offer import MilestoneStatus, Offer, OfferStatus
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.documents import given, highest_id
from domain.kernel.fields import (
    ContractorId,
    Currency,
    CustomerId,
    JobId,
    JobTitle,
    MinorUnits,
    OfferId,
    PaymentId,
    about,
)
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.ledger import chart
from domain.ledger.balances import Balance
from domain.operations.command import Command, CurrencyCode, Cursor, Moment, PageSize, Style
from domain.operations.operation import operation

DELIVERED = MilestoneStatus.DELIVERED
OLDEST_OFFER = (("_id", 1),)  # the ids of these balances continue with that of the offer


class Escrow(Command, frozen=True):
    """`until` is a time with its zone."""

    currency: Annotated[CurrencyCode | None, about("Only money in this currency.")] = None
    until: Annotated[Moment | None, about("Only of offers made before this time.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class InEscrow(msgspec.Struct, frozen=True):
    """The money of one offer that is in escrow."""

    offer_id: OfferId
    payment_id: PaymentId
    job_id: JobId
    job_title: JobTitle
    customer_id: CustomerId
    customer_name: Annotated[str, about("The customer's name.")]
    contractor_id: ContractorId
    contractor_name: Annotated[str, about("The contractor's name.")]
    amount: MinorUnits
    currency: Currency
    status: Annotated[OfferStatus, about("The state of the offer.")]
    accepted_at: Annotated[datetime | None, about("When it was accepted; null if it is not.")]
    due_at: Annotated[
        datetime | None,
        about("When the next delivered milestone is completed automatically; null if none is."),
    ]
    delivered_amount: Annotated[
        int, about("What the milestones that wait for approval are worth, in minor units.")
    ]
    contested_amount: Annotated[int, about("What is in open chargebacks, in minor units.")]
    dispute_id: Annotated[
        str | None, about("The id of the open dispute about it; null if there is none.")
    ]
    updated_at: Annotated[datetime, about("When the amount last changed.")]


@operation("admin.escrow", roles=ADMINS, style=Style.READ)
async def escrow(cmd: Escrow, actor: Actor, uow: UnitOfWork) -> Page[InEscrow]:
    """List the money in escrow by offer, the oldest offer first."""
    where = given(kind=AccountKind.ESCROW, currency=cmd.currency) | {"balance": {"$ne": 0}}
    if cmd.until:
        where["_id"] = {"$lt": chart.escrow(highest_id(Offer.PREFIX, cmd.until))}
    page = await uow.page(Balance, where, sort=OLDEST_OFFER, cursor=cmd.cursor, limit=cmd.limit)
    offers = await _by_id(uow, Offer, [balance.owner for balance in page.items])
    sides = {id for offer in offers.values() for id in (offer.customer_id, offer.contractor_id)}
    users = await _by_id(uow, User, sorted(sides))
    names = {id: user.name for id, user in users.items()}
    found = [(balance, offers[balance.owner]) for balance in page.items if balance.owner in offers]
    # The bound of the ids is a minute too high.
    asked = [each for each in found if cmd.until is None or each[1].created_at < cmd.until]
    rows = [_row(balance, offer, names) for balance, offer in asked]
    return Page(rows, page.next_cursor)


async def _by_id(uow: UnitOfWork, kind: type[Any], ids: list[str]) -> dict[str, Any]:
    return {record.id: record for record in await uow.all(kind, {"_id": tuple(ids)})}


def _row(balance: Balance, offer: Offer, names: dict[str, str]) -> InEscrow:
    open_ones = [milestone for milestone in offer.milestones if milestone.is_open]
    return InEscrow(
        offer_id=offer.id,
        payment_id=offer.payment_id,
        job_id=offer.job_id,
        job_title=offer.job_title,
        customer_id=offer.customer_id,
        customer_name=names.get(offer.customer_id, ""),
        contractor_id=offer.contractor_id,
        contractor_name=names.get(offer.contractor_id, ""),
        amount=balance.balance,
        currency=balance.currency,
        status=offer.status,
        accepted_at=offer.accepted_at,
        due_at=offer.due_at,
        delivered_amount=sum(each.amount for each in open_ones if each.status is DELIVERED),
        contested_amount=offer.contested_amount,
        dispute_id=next((each.dispute_id for each in open_ones if each.dispute_id), None),
        updated_at=balance.updated_at,
    )
