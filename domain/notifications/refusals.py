"""What a permanent refusal of the payment provider leads to, the same for every kind of request.

Decision: a refused request is not repeated by the clock. Its record keeps the reason in plain
words, which the person concerned sees, and counts its attempts, so that the next one has an
idempotency key of its own: under the old key Stripe would replay the stored refusal after its cause
is gone. Administrators get an alert with Stripe's code and message. The person concerned tries
again, or an administrator.
"""

from domain.kernel.store import UnitOfWork
from domain.notifications import notices
from domain.notifications.alerts import alert
from domain.notifications.templates.refusals import reason_of, stripe_says
from domain.notifications.text import WALLET
from domain.ports.refusal import Refusal


async def alert_refused(
    uow: UnitOfWork, kind: str, subject: str, refusal: Refusal, what: str, next_step: str
) -> None:
    """Alert administrators of a refusal. `what` was refused, and `next_step` is theirs or another
    person's: both are sentences without a full stop."""
    text = f"{what}. Stripe says {stripe_says(refusal)} {next_step}."
    await alert(uow, kind, subject, text)


async def tell_refused(
    uow: UnitOfWork,
    user_id: str,
    kind: str,
    subject: str,
    refusal: Refusal,
    title: str,
    next_step: str,
    *,
    path: str = WALLET,
) -> None:
    """Notify the person whom a refusal concerns, in plain words."""
    text = f"{reason_of(refusal.code)} {next_step}"
    await notices.notify(uow, [user_id], kind, title, text, subject, path=path)


def key_number(attempts: int, key: int) -> str:
    """The part of an idempotency key that changes: with each refused attempt, and within one with
    each stale failure."""
    return f"{attempts}.{key}" if attempts else str(key)
