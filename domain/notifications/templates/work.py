"""Texts of notifications about delivered and completed work, refunds and jobs."""

from collections.abc import Sequence
from datetime import datetime

from domain.kernel.money import display
from domain.notifications.text import (
    Data,
    Notice,
    Side,
    amount_of,
    date_text,
    happened_now,
    job_name,
    job_path,
    join_lines,
    quoted_title,
)


def offer_updated(data: Data, side: Side) -> Notice | Sequence[Notice]:
    """Milestones that were just completed or delivered; without any, refunds that have ended."""
    done = [
        each
        for each in data.get("milestones") or ()
        if happened_now(data, each.get("completed_at"))
    ]
    if done:
        return _milestones_completed(data, side, done)
    delivered = [each for each in data.get("milestones") or () if _just_delivered(data, each)]
    if delivered:
        return _milestones_delivered(data, side, delivered)
    ended = [each for each in data.get("refunds") or () if each.get("status") in REFUNDS]
    notices = [REFUNDS[each["status"]](data, side, each) for each in ended]
    return [notice for notice in notices if notice]


def _just_delivered(data: Data, milestone: Data) -> bool:
    return milestone.get("status") == "delivered" and happened_now(
        data, milestone.get("delivered_at")
    )


def _part(data: Data, milestones: list[Data]) -> str:
    """The part of the work as text: the whole job, or its milestones by name."""
    if len(milestones) == len(data["milestones"]):
        return job_name(data)
    return f"{', '.join(quoted_title(each['title']) for each in milestones)} of {job_name(data)}"


def _work_notice(
    kind: str, data: Data, at: str, title: str, *sentences: str, own: bool = False, rank: int = 0
) -> Notice:
    job_id = data.get("job_id") or data["id"]
    return Notice(
        kind=kind,
        title=title,
        text=join_lines(*sentences),
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
        return _work_notice(
            "delivered",
            data,
            at,
            f"You delivered the work on {part}",
            "The customer has been notified.",
            own=True,
        )
    deadline = f"Without an objection it is completed on {date_text(due_at)}." if due_at else ""
    return _work_notice(
        "delivered",
        data,
        at,
        f"The work on {part} was delivered",
        "Look at it, and approve it if all is well: then the contractor is paid.",
        deadline,
        rank=1 if due_at else 0,
    )


def completes_soon(
    data: Data, numbers: Sequence[int], amount: int, at: datetime
) -> tuple[str, str]:
    """Title and text for the customer about these milestones, numbered from 1."""
    part = _part(data, [data["milestones"][number - 1] for number in numbers])
    return f"On {date_text(at)} the work on {part} is completed automatically", join_lines(
        "Look at what was delivered: approve it, or object to it until then.",
        f"Without an objection {display(amount, str(data['currency']))} is paid for it.",
    )


def _milestones_completed(data: Data, side: Side, parts: list[Data]) -> Notice:
    amount = display(sum(each.get("amount") or 0 for each in parts), str(data.get("currency")))
    at, part = parts[0]["completed_at"], _part(data, parts)
    if side is Side.CUSTOMER:
        return _work_notice(
            "completed", data, at, f"{part} is completed", f"{amount} is settled.", own=True
        )
    return _work_notice(
        "completed",
        data,
        at,
        f"{part} is completed",
        f"It was agreed at {amount}; your part after fees is on its way to your wallet.",
    )


def _refund_notice(data: Data, refund: Data, title: str, *sentences: str) -> Notice:
    return Notice(
        kind=f"refund_{refund['status']}",
        title=title,
        text=join_lines(*sentences),
        subject_id=data["id"],
        fact=f"refund:{refund['id']}:{refund['status']}",
        path=job_path(data["job_id"]),
    )


def _refund_made(data: Data, side: Side, refund: Data) -> Notice | None:
    amount = amount_of({"amount": refund.get("amount"), "currency": data.get("currency")})
    if side is Side.CUSTOMER:
        return _refund_notice(
            data,
            refund,
            f"{amount} for {job_name(data)} is on its way back to you",
            "Banks need five to ten days to show it.",
        )
    if not data.get("accepted_at"):
        return None
    earned = "Some of it had been earned: that part is taken out of your wallet again."
    return _refund_notice(
        data,
        refund,
        f"{amount} for {job_name(data)} went back to the customer",
        earned if refund.get("completed_amount") else "What you have earned so far stays yours.",
    )


def _refund_failed(data: Data, side: Side, refund: Data) -> Notice | None:
    amount = amount_of({"amount": refund.get("amount"), "currency": data.get("currency")})
    if side is not Side.CUSTOMER:
        if not data.get("accepted_at"):
            return None
        return _refund_notice(
            data,
            refund,
            f"The refund of {amount} for {job_name(data)} did not reach the customer",
            "Your earnings are not affected. Our administrators take care of it.",
        )
    return _refund_notice(
        data,
        refund,
        f"The refund of {amount} for {job_name(data)} did not arrive",
        "Your bank did not take it. The money is safe, and our administrators have been notified.",
    )


REFUNDS = {"made": _refund_made, "failed": _refund_failed}


# -- jobs --------------------------------------------------------------------------------------


def job_updated(data: Data, side: Side) -> Notice | None:
    job = job_name(data)
    if happened_now(data, data.get("completed_at")):
        at = data["completed_at"]
        if side is Side.CUSTOMER:
            return _work_notice(
                "completed",
                data,
                at,
                f"{job} is completed",
                "The contractor is being paid.",
                own=True,
                rank=1,
            )
        return _work_notice(
            "completed",
            data,
            at,
            f"{job} is completed",
            "Your part is on its way to your wallet.",
            rank=1,
        )
    if happened_now(data, data.get("cancelled_at")):
        at = data["cancelled_at"]
        if side is Side.CUSTOMER:
            return _work_notice(
                "cancelled",
                data,
                at,
                f"{job} is cancelled",
                "What you paid for it goes back to you.",
                own=True,
            )
        return _work_notice(
            "cancelled",
            data,
            at,
            f"{job} was cancelled",
            "The money goes back to the customer. Please stop the work.",
        )
    if data.get("status") == "in_progress" and happened_now(data, data.get("delivered_at")):
        return _delivered(data, side, job, data["delivered_at"], data.get("auto_complete_at"))
    return None
