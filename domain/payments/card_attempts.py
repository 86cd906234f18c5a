"""Bounds the attempts at cards, so that stolen card numbers cannot be tested here.

Counted for a day are declines, each card that is new to a user, and each preparation to save one.
They are counted for the user, the card (its fingerprint at Stripe, over all users) and the network
of the client, whichever account it uses. From `Rates.card_attempts` on, each attempt has to wait
longer than the one before: 1, 2, 4 ... minutes, up to a day. Administrators are alerted of twice as
many. Source: Stripe, "Protect yourself from card testing".
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from domain.deals.payment import Payment
from domain.kernel.errors import RateLimited
from domain.kernel.record import Index, Record
from domain.kernel.store import UnitOfWork
from domain.notifications.alerts import alert
from domain.ports.payment_gateway import GatewayRefused, Intent, SetupIntent
from domain.ports.ports import Ports

COUNTED = timedelta(days=1)
KEPT = timedelta(days=2)
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(days=1)
STEPS = 12  # doublings of FIRST_WAIT after which it is LONGEST_WAIT
OF_A_NETWORK = 4  # times as many as of a user: several people share one
TOO_MANY = "too_many_attempts"  # the `failure` of a payment that was not tried
NEWEST = (("created_at", -1),)


class AttemptKind(StrEnum):
    DECLINED = "declined"
    NEW_CARD = "new_card"
    SETUP = "setup"


class CardAttempt(Record, frozen=True):
    """A counted attempt. `card` is the fingerprint of the card at Stripe, empty if unknown.

    `method` is the payment method and `network` a keyed digest. `over` marks a card that has
    reached its bound.
    """

    COLLECTION = "card_attempts"
    PREFIX = "cat"
    INDEXES = (
        Index((("created_at", 1),), ttl_seconds=int(KEPT.total_seconds())),
        Index((("user_id", 1), *NEWEST)),
        Index((("card", 1), ("kind", 1), *NEWEST), where={"card": {"$gt": ""}}),
        Index((("network", 1), *NEWEST), where={"network": {"$gt": ""}}),
        Index((("method", 1), *NEWEST), where={"method": {"$gt": ""}}),
        Index((("over", 1), *NEWEST), where={"over": True}),
    )
    LOGGED = False

    user_id: str
    kind: AttemptKind
    card: str = ""
    method: str = ""
    network: str = ""
    over: bool = False


async def require_attempt(uow: UnitOfWork, user_id: str, method: str | None = None) -> None:
    """Refuse an attempt that comes too early. Raises RateLimited with `retry_after`."""
    free = uow.rates.card_attempts
    if not free:
        return
    counts = [(await _counted(uow, free, user_id=user_id), free)]
    if uow.network:
        most = free * OF_A_NETWORK
        counts.append((await _counted(uow, most, network=uow.network), most))
    if method and (used := await uow.find(CardAttempt, {"method": method}, NEWEST)):
        counts.append((await _declines(uow, free, used.card), free))
    due = max(_due(rows, most) or uow.now for rows, most in counts)
    if due > uow.now:
        raise RateLimited(retry_after=math.ceil((due - uow.now).total_seconds()))


async def card_has_to_wait(ports: Ports, payment: Payment) -> bool:
    """Whether the card of a payment method has reached its bound, over all users.

    Stripe is asked for the card of a method only while any card has.
    """
    uow = ports.store.single()
    recent = {"over": True, "created_at": {"$gte": uow.now - COUNTED}}
    free = uow.rates.card_attempts
    if not free or not payment.payment_method or not await uow.find(CardAttempt, recent):
        return False
    try:
        card = (await ports.gateway.method(payment.payment_method)).fingerprint
    except GatewayRefused:  # the hold is refused, too, and says why
        return False
    due = _due(await _declines(uow, free, card), free) if card else None
    return due is not None and due > uow.now


async def count_setup(uow: UnitOfWork, user_id: str) -> None:
    """Count the preparation to save a card."""
    new = uow.new(CardAttempt, user_id=user_id, kind=AttemptKind.SETUP, network=uow.network)
    await _count(uow, new)


async def count_new_card(uow: UnitOfWork, payment: Payment, intent: Intent) -> None:
    """Count a card that paid for its user for the first time within KEPT."""
    id = f"{CardAttempt.PREFIX}_{payment.customer_id}_{intent.card}"
    if not intent.card or await uow.find(CardAttempt, {"_id": id}):
        return
    new = uow.new(
        CardAttempt,
        id=id,
        user_id=payment.customer_id,
        kind=AttemptKind.NEW_CARD,
        card=intent.card,
        method=payment.payment_method or "",
    )
    await _count(uow, new)


async def count_decline(uow: UnitOfWork, payment: Payment, intent: Intent) -> bool:
    """Count a declined attempt once. Whether the user or the card has reached the bound."""
    new = uow.new(
        CardAttempt,
        id=f"{CardAttempt.PREFIX}_{intent.attempt or intent.id}",
        user_id=payment.customer_id,
        kind=AttemptKind.DECLINED,
        card=intent.card,
        method=payment.payment_method or "",
        network=payment.network,
    )
    return await _count_decline(uow, new)


async def count_declined_setup(
    uow: UnitOfWork, user_id: str, event_id: str, setup: SetupIntent
) -> bool:
    """The same for a card that could not be saved, as an event of Stripe says."""
    new = uow.new(
        CardAttempt,
        id=f"{CardAttempt.PREFIX}_{event_id}",
        user_id=user_id,
        kind=AttemptKind.DECLINED,
        card=setup.card,
    )
    return await _count_decline(uow, new)


async def _count_decline(uow: UnitOfWork, new: CardAttempt) -> bool:
    free = uow.rates.card_attempts
    if free and not await uow.find(CardAttempt, {"_id": new.id}):
        await _count(uow, new)
    counts = await _counted(uow, free, user_id=new.user_id), await _declines(uow, free, new.card)
    return bool(free) and max(map(len, counts)) >= free


async def _count(uow: UnitOfWork, new: CardAttempt) -> None:
    """Add a counted attempt, and alert when somebody has made twice as many as are free."""
    free = uow.rates.card_attempts
    if not free:
        return
    await uow.add(new)
    if new.kind is AttemptKind.DECLINED and new.card:
        of_card = len(await _declines(uow, free, new.card))
        if of_card >= free:
            await uow.change(CardAttempt, new.id, over=True)
        if of_card == 2 * free:
            await _alert(uow, f"the card {new.card}", of_card, new)
    of_user = len(await _counted(uow, free, user_id=new.user_id))
    if of_user == 2 * free:
        await _alert(uow, "this user", of_user, new)
    if new.network:
        most = free * OF_A_NETWORK
        of_network = len(await _counted(uow, most, network=new.network))
        if of_network == 2 * most:
            await _alert(uow, "one network address", of_network, new)


async def _alert(uow: UnitOfWork, who: str, count: int, last: CardAttempt) -> None:
    await alert(
        uow,
        "card_testing",
        last.user_id,
        f"{count} attempts at cards within a day come from {who}: declines, new cards and "
        "preparations to save one. Somebody may be testing stolen cards; further attempts have to "
        "wait longer and longer. Look at the user, and ban them if nothing explains it.",
    )


async def attempts_of(uow: UnitOfWork, user_id: str) -> tuple[int, datetime | None]:
    """How many attempts of a user are counted, and when the next one is possible."""
    free = uow.rates.card_attempts
    rows = await _counted(uow, free, user_id=user_id)
    due = _due(rows, free) if free else None
    return len(rows), due if due and due > uow.now else None


async def _counted(uow: UnitOfWork, free: int, **whose: str) -> list[CardAttempt]:
    """The counted attempts of a user or a network, the newest first; not more than matter."""
    where = {**whose, "created_at": {"$gte": uow.now - COUNTED}}
    return await uow.all(CardAttempt, where, NEWEST, 2 * free + STEPS)


async def _declines(uow: UnitOfWork, free: int, card: str) -> list[CardAttempt]:
    """The declines of a card, the newest first."""
    return await _counted(uow, free, card=card, kind=AttemptKind.DECLINED) if card else []


def _due(rows: Sequence[CardAttempt], free: int) -> datetime | None:
    """When another attempt is possible; None if it is at once."""
    over = len(rows) - free
    if over < 0:
        return None
    doubled: int = 2 ** min(over, STEPS)
    return rows[0].created_at + min(FIRST_WAIT * doubled, LONGEST_WAIT)


# Source: Stripe, "Decline codes": these are shown to a customer as `generic_decline`, since the
# person may be a thief.
SECRET_DECLINES = frozenset(
    {
        "fraudulent",
        "highest_risk_level",
        "elevated_risk_level",
        "lost_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
        "security_violation",
        "stolen_card",
    }
)
GENERIC = "generic_decline"


def shown_failure(code: str | None) -> str | None:
    """The code that the two sides of a payment may know."""
    return GENERIC if code in SECRET_DECLINES else code
