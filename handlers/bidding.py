"""/bidding: offers and the contractor's answers to them."""

from domain.bidding import offers
from domain.deals import offer
from handlers.expose import Namespace

bidding = Namespace("/bidding")

bidding.expose(offers.create, http="POST /api/bidding")
bidding.expose(offers.list_offers, http="GET /api/bidding")
bidding.expose(offers.get, http="GET /api/bidding/{offer_id}")
bidding.expose(offers.withdraw, http="POST /api/bidding/{offer_id}/withdraw")
bidding.expose(offers.accept, http="POST /api/bidding/{offer_id}/accept")
bidding.expose(offers.reject, http="POST /api/bidding/{offer_id}/reject")
bidding.expose(offers.counter, http="POST /api/bidding/{offer_id}/counter")

bidding.pushes = (
    offer.CREATED,
    offer.UPDATED,
    offer.COUNTERED,
    offer.ACCEPTED,
    offer.REJECTED,
    offer.WITHDRAWN,
    offer.EXPIRED,
    offer.BLOCKED,
    offer.FAILED,
)
