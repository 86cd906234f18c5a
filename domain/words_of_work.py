"""What is told about offers, the work and refunds: see `words.py` for who is told what."""

from collections.abc import Sequence
from datetime import datetime

from domain.kernel.money import display
from domain.wording import (
    Data,
    Notice,
    Side,
    job_of,
    job_path,
    just,
    lines,
    moment,
    quoted,
    sum_of,
    until,
)

# -- offers ------------------------------------------------------------------------------------


def _offer(
    kind: str, data: Data, title: str, *told: str, own: bool = False, rank: int = 0
) -> Notice:
    return Notice(
        kind=kind,
        title=title,
        text=lines(*told),
        subject_id=data["id"],
        own=own,
        rank=rank,
        fact=f"{kind}:{data['id']}",
        path=job_path(data["job_id"]),
    )


def _money_back(data: Data) -> str:
    if data.get("captured_amount"):
        return f"You get {sum_of(data)} back."
    return f"The hold of {sum_of(data)} on your card is released; banks show that within some days."


def offer_created(data: Data, side: Side) -> Notice:
    job = job_of(data)
    if side is Side.CUSTOMER:
        paid = "is paid, and comes back if the offer is not accepted."
        held = "is held on your card. Nothing is taken before the offer is accepted."
        return _offer(
            "offer_created",
            data,
            f"Your offer for {job} is out",
            f"{sum_of(data)} {paid if data.get('captured_amount') else held}",
            until(data, "expires_at", "The contractor can answer"),
            own=True,
        )
    return _offer(
        "offer_created",
        data,
        f"You have an offer of {sum_of(data)} for {job}",
        "The money is set aside already: it is yours to earn.",
        until(data, "expires_at", "Accept it, turn it down or make a counter-offer"),
    )


def offer_accepted(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer(
            "offer_accepted",
            data,
            f"Your offer for {job_of(data)} was accepted",
            f"{sum_of(data)} was taken from your card.",
            "We keep it until the work is done and you have approved it.",
        )
    return _offer(
        "offer_accepted",
        data,
        f"{job_of(data)} is yours: you can start",
        f"The customer has paid {sum_of(data)}.",
        "We keep it until the work is approved; your part then goes to your wallet.",
    )


def offer_rejected(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer(
            "offer_rejected",
            data,
            f"Your offer for {job_of(data)} was turned down",
            _money_back(data),
            "You can make another offer, also to somebody else.",
        )
    return _offer(
        "offer_rejected",
        data,
        f"You turned down the offer for {job_of(data)}",
        "The customer has been told.",
        own=True,
    )


def offer_withdrawn(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer(
            "offer_withdrawn",
            data,
            f"You withdrew the offer for {job_of(data)}",
            _money_back(data),
            own=True,
        )
    return _offer(
        "offer_withdrawn",
        data,
        f"The offer for {job_of(data)} was withdrawn",
        f"The customer took the offer of {sum_of(data)} back. There is nothing for you to do.",
    )


def offer_expired(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer(
            "offer_expired",
            data,
            f"Your offer for {job_of(data)} has expired",
            _money_back(data),
            "If you still want the work done, make a new offer.",
        )
    return _offer(
        "offer_expired",
        data,
        f"The offer for {job_of(data)} has expired",
        "It can no longer be accepted. The customer may make a new one.",
    )


def offer_blocked(data: Data, side: Side) -> Notice:
    why = "Another offer was accepted, or the job was cancelled."
    if side is Side.CUSTOMER:
        return _offer(
            "offer_blocked",
            data,
            f"Your offer for {job_of(data)} is closed",
            why,
            _money_back(data),
            own=True,
        )
    return _offer("offer_blocked", data, f"The offer for {job_of(data)} is off", why)


def offer_failed(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer(
            "payment_failed",
            data,
            f"The payment for {job_of(data)} did not go through",
            "The offer has ended, and nothing was taken from your card.",
            "Make the offer again, if need be with another card.",
        )
    return _offer(
        "offer_failed",
        data,
        f"The offer for {job_of(data)} has failed",
        "The customer's payment did not go through: please do not begin the work.",
        "The customer may make a new offer.",
    )


def offer_countered(data: Data, side: Side) -> Notice:
    counter: Data = data.get("counter") or {}
    wanted = sum_of({"amount": counter.get("amount"), "currency": data.get("currency")})
    if side is Side.CUSTOMER:
        return _offer(
            "offer_countered",
            data,
            f"A counter-offer of {wanted} for {job_of(data)}",
            f"Your offer was {sum_of(data)}. {_money_back(data)}",
            f"If you agree, make a new offer of {wanted}.",
        )
    return _offer(
        "offer_countered",
        data,
        f"Your counter-offer of {wanted} for {job_of(data)} is out",
        "The customer has been told, and can make a new offer.",
        own=True,
    )


def offer_updated(data: Data, side: Side) -> Notice | Sequence[Notice]:
    """Milestones that were just delivered or completed, or else refunds that came to an end."""
    done = [each for each in data.get("milestones") or () if just(data, each.get("completed_at"))]
    if done:
        return _milestones_completed(data, side, done)
    handed = [each for each in data.get("milestones") or () if _handed_over(data, each)]
    if handed:
        return _milestones_delivered(data, side, handed)
    ended = [each for each in data.get("refunds") or () if each.get("status") in REFUNDS]
    told = [REFUNDS[each["status"]](data, side, each) for each in ended]
    return [notice for notice in told if notice]


def _handed_over(data: Data, milestone: Data) -> bool:
    return milestone.get("status") == "delivered" and just(data, milestone.get("delivered_at"))


def _part(data: Data, milestones: list[Data]) -> str:
    """Which part of the work: all of it, or the milestones by name."""
    if len(milestones) == len(data["milestones"]):
        return job_of(data)
    return f"{', '.join(quoted(each['title']) for each in milestones)} of {job_of(data)}"


def _work(
    kind: str, data: Data, at: str, title: str, *told: str, own: bool = False, rank: int = 0
) -> Notice:
    job_id = data.get("job_id") or data["id"]
    return Notice(
        kind=kind,
        title=title,
        text=lines(*told),
        subject_id=job_id,
        own=own,
        rank=rank,
        fact=f"{kind}:{job_id}:{at}",
        path=job_path(job_id),
    )


def _milestones_delivered(data: Data, side: Side, parts: list[Data]) -> Notice:
    return _delivered(
        data, side, _part(data, parts), parts[0]["delivered_at"], parts[0].get("due_at")
    )


def _delivered(data: Data, side: Side, part: str, at: str, due_at: str | None) -> Notice:
    if side is Side.CONTRACTOR:
        return _work(
            "delivered",
            data,
            at,
            f"You delivered the work on {part}",
            "The customer has been told.",
            own=True,
        )
    itself = f"Without an objection it is completed on {moment(due_at)}." if due_at else ""
    return _work(
        "delivered",
        data,
        at,
        f"The work on {part} was delivered",
        "Look at it, and approve it if all is well: then the contractor is paid.",
        itself,
        rank=1 if due_at else 0,
    )


def completes_soon(
    data: Data, numbers: Sequence[int], amount: int, at: datetime
) -> tuple[str, str]:
    """Title and text for the customer, about milestones of these numbers (from 1)."""
    part = _part(data, [data["milestones"][number - 1] for number in numbers])
    return f"On {moment(at)} the work on {part} is completed by itself", lines(
        "Look at what was delivered: approve it, or object to it until then.",
        f"Without an objection {display(amount, str(data['currency']))} is paid for it.",
    )


def _milestones_completed(data: Data, side: Side, parts: list[Data]) -> Notice:
    amount = display(sum(each.get("amount") or 0 for each in parts), str(data.get("currency")))
    at, part = parts[0]["completed_at"], _part(data, parts)
    if side is Side.CUSTOMER:
        return _work(
            "completed", data, at, f"{part} is completed", f"{amount} is settled.", own=True
        )
    return _work(
        "completed",
        data,
        at,
        f"{part} is completed",
        f"It was agreed at {amount}; your part after fees is on its way to your wallet.",
    )


def _refund(data: Data, refund: Data, title: str, *told: str) -> Notice:
    return Notice(
        kind=f"refund_{refund['status']}",
        title=title,
        text=lines(*told),
        subject_id=data["id"],
        fact=f"refund:{refund['id']}:{refund['status']}",
        path=job_path(data["job_id"]),
    )


def _refund_made(data: Data, side: Side, refund: Data) -> Notice | None:
    amount = sum_of({"amount": refund.get("amount"), "currency": data.get("currency")})
    if side is Side.CUSTOMER:
        return _refund(
            data,
            refund,
            f"{amount} for {job_of(data)} is on its way back to you",
            "Banks need five to ten days to show it.",
        )
    if not data.get("accepted_at"):
        return None
    earned = "Some of it had been earned: that part is taken out of your wallet again."
    return _refund(
        data,
        refund,
        f"{amount} for {job_of(data)} went back to the customer",
        earned if refund.get("completed_amount") else "What you have earned so far stays yours.",
    )


def _refund_failed(data: Data, side: Side, refund: Data) -> Notice | None:
    amount = sum_of({"amount": refund.get("amount"), "currency": data.get("currency")})
    if side is not Side.CUSTOMER:
        if not data.get("accepted_at"):
            return None
        return _refund(
            data,
            refund,
            f"The refund of {amount} for {job_of(data)} did not reach the customer",
            "Nothing that you have earned is taken for it. Our administrators see to it.",
        )
    return _refund(
        data,
        refund,
        f"The refund of {amount} for {job_of(data)} did not arrive",
        "Your bank did not take it. The money is safe, and our administrators have been told.",
    )


REFUNDS = {"made": _refund_made, "failed": _refund_failed}


# -- jobs --------------------------------------------------------------------------------------


def job_updated(data: Data, side: Side) -> Notice | None:
    job = job_of(data)
    if just(data, data.get("completed_at")):
        at = data["completed_at"]
        if side is Side.CUSTOMER:
            return _work(
                "completed",
                data,
                at,
                f"{job} is completed",
                "The contractor is being paid.",
                own=True,
                rank=1,
            )
        return _work(
            "completed",
            data,
            at,
            f"{job} is completed",
            "Your part is on its way to your wallet.",
            rank=1,
        )
    if just(data, data.get("cancelled_at")):
        at = data["cancelled_at"]
        if side is Side.CUSTOMER:
            return _work(
                "cancelled",
                data,
                at,
                f"{job} is cancelled",
                "What you paid for it goes back to you.",
                own=True,
            )
        return _work(
            "cancelled",
            data,
            at,
            f"{job} was cancelled",
            "The money goes back to the customer: please do not go on.",
        )
    if data.get("status") == "in_progress" and just(data, data.get("delivered_at")):
        return _delivered(data, side, job, data["delivered_at"], data.get("auto_complete_at"))
    return None
