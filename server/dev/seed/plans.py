"""What becomes of a job: plans by chance, and those of the demo accounts."""

import random
from enum import StrEnum

import msgspec

from server.dev.seed import texts
from server.dev.seed.texts import TEXTS
from server.dev.seed.world import Person


class Ending(StrEnum):
    """How a job ends, or where it stays."""

    IGNORED = "nobody applies"
    OPEN = "applications wait"
    TALKS = "shortlisted, they talk"
    GIVEN_UP = "cancelled while open"
    OFFERED = "the offer waits"
    UNPAID = "the payment waits for its customer"
    COUNTERED = "a counter-offer waits"
    EXPIRED = "the offer expires"
    CANCELLED = "cancelled before work began, refunded"
    ASSIGNED = "accepted, work has not begun"
    WORKING = "work goes on"
    DELIVERED = "delivered, waits for approval"
    COMPLETED = "completed"
    SILENT = "delivered, completes by itself"
    DISPUTED = "a dispute has just been opened"
    PROPOSED = "a proposal waits in a dispute"
    AGREED = "a dispute ends by agreement"
    ESCALATED = "a dispute waits for an administrator"
    DECIDED = "an administrator decides a dispute"
    REFUNDED = "an administrator refunds a part later"
    REFUND_FAILS = "the bank returns the refund of a cancelled job"
    CHARGED_BACK = "a chargeback waits for evidence"
    CHARGEBACK_WON = "a chargeback is won"
    CHARGEBACK_LOST = "a chargeback is lost"


# Of a hundred jobs.
CHANCES = {
    Ending.IGNORED: 3,
    Ending.OPEN: 4,
    Ending.GIVEN_UP: 5,
    Ending.OFFERED: 2,
    Ending.EXPIRED: 3,
    Ending.CANCELLED: 4,
    Ending.COMPLETED: 54,
    Ending.SILENT: 6,
    Ending.AGREED: 4,
    Ending.ESCALATED: 1,
    Ending.DECIDED: 4,
    Ending.REFUNDED: 3,
    Ending.REFUND_FAILS: 1,
    Ending.CHARGED_BACK: 1,
    Ending.CHARGEBACK_WON: 2,
    Ending.CHARGEBACK_LOST: 2,
    Ending.DISPUTED: 1,
}
GOOD_CARDS = ("pm_card_visa", "pm_card_visa", "pm_card_mastercard", "pm_card_amex")
SECURE_CARD = "pm_card_threeDSecure2Required"
BAD_CARDS = (
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedExpiredCard",
    "pm_card_chargeDeclinedIncorrectCvc",
    "pm_card_chargeDeclinedProcessingError",
)
FAILING_REFUND_CARD = "pm_card_refundFail"


class Plan(msgspec.Struct, kw_only=True):
    """One job. `hours` is the usual time between two of its steps. Without a `contractor` one of
    the applicants is chosen."""

    idea: texts.Idea
    ending: Ending
    hours: float = 20.0
    applicants: int = 3
    card: str = "pm_card_visa"
    declined: tuple[str, ...] = ()  # cards that are tried before
    parts: int = 1  # milestones
    countered: bool = False
    rejected: bool = False
    rival: bool = False  # another applicant has an offer as well, which is blocked
    withdrawn: bool = False
    customer: Person | None = None
    contractor: Person | None = None


def by_chance(luck: random.Random) -> Plan:
    """A job of somebody."""
    idea = luck.choice(TEXTS.ideas)
    ending = luck.choices(list(CHANCES), list(CHANCES.values()))[0]
    card = luck.choice(GOOD_CARDS) if luck.random() > 0.07 else SECURE_CARD
    if ending is Ending.REFUND_FAILS:
        card = FAILING_REFUND_CARD
    return Plan(
        idea=idea,
        ending=ending,
        hours=luck.uniform(6, 34),
        applicants=0 if ending is Ending.IGNORED else min(6, 1 + int(luck.expovariate(0.5))),
        card=card,
        declined=(luck.choice(BAD_CARDS),) if luck.random() < 0.08 else (),
        parts=len(idea.parts) if idea.parts and luck.random() < 0.45 else 1,
        countered=luck.random() < 0.08,
        rejected=luck.random() < 0.05,
        rival=luck.random() < 0.06,
        withdrawn=luck.random() < 0.04,
    )
