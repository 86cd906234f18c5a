"""Offers as administrators read them: all of them, with what is left of their money."""

from typing import Annotated

import msgspec

from domain.deals.offer import Offer, OfferStatus
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.documents import given
from domain.kernel.errors import NotFound
from domain.kernel.fields import about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.operations.command import Command, Cursor, Id, PageSize, Style
from domain.operations.operation import operation


class SeenOffer(Offer, frozen=True, kw_only=True):
    """An offer with the amounts that a refund and a decision start from."""

    refundable_amount: Annotated[
        int,
        about(
            "What can still be refunded, in minor units: neither asked for already nor contested."
        ),
    ]
    earnable_amount: Annotated[
        int, about("What the contractor's work can still complete of it, in minor units.")
    ]


class OfferById(Command, frozen=True):
    offer_id: Annotated[Id, about("The id of the offer.")]


class Offers(Command, frozen=True):
    job_id: Annotated[Id | None, about("Only offers on this job.")] = None
    customer_id: Annotated[Id | None, about("Only offers of this customer.")] = None
    contractor_id: Annotated[Id | None, about("Only offers to this contractor.")] = None
    thread_id: Annotated[
        Id | None, about("Only offers of this negotiation, by the id of its first offer.")
    ] = None
    status: Annotated[OfferStatus | None, about("Only offers in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


@operation("admin.offers", roles=ADMINS, style=Style.READ)
async def offers(cmd: Offers, actor: Actor, uow: UnitOfWork) -> Page[SeenOffer]:
    """List all offers, newest first, also those whose money is not held."""
    where = given(
        job_id=cmd.job_id,
        customer_id=cmd.customer_id,
        contractor_id=cmd.contractor_id,
        thread_id=cmd.thread_id,
        status=cmd.status,
    )
    if cmd.contractor_id:  # all values of `visible`, which precedes `_id` in the index
        where["visible"] = (False, True)
    page = await uow.page(Offer, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page([seen_offer(offer) for offer in page.items], page.next_cursor)


@operation("admin.offer", roles=ADMINS, style=Style.READ, errors=(NotFound,))
async def offer(cmd: OfferById, actor: Actor, uow: UnitOfWork) -> SeenOffer:
    """One offer of any two sides. Raises NotFound."""
    return seen_offer(await uow.get(Offer, cmd.offer_id))


def seen_offer(offer: Offer) -> SeenOffer:
    return SeenOffer(
        **msgspec.structs.asdict(offer),
        refundable_amount=offer.refundable,
        earnable_amount=offer.earnable,
    )
