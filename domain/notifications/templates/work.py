"""What is told about offers, the work and refunds: see `words.py` for who is told what."""

from collections.abc import Sequence
from datetime import datetime

from domain.kernel.money import display
from domain.notifications.text import (
    Data,
    Notice,
    Side,
    date_text,
    job_of,
    job_path,
    just,
    lines,
    quoted,
    sum_of,
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
    itself = f"Without an objection it is completed on {date_text(due_at)}." if due_at else ""
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
    return f"On {date_text(at)} the work on {part} is completed by itself", lines(
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
