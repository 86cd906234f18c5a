"""Texts of notifications about disputes."""

from domain.kernel.money import display
from domain.notifications.text import (
    Data,
    Notice,
    Side,
    job_of,
    job_path,
    just,
    lines,
    sum_of,
    until,
)


def dispute_updated(data: Data, side: Side) -> Notice | None:
    """Opened, a proposal, escalated, resolved; what is said in between has its own place."""
    status, proposal = data.get("status"), data.get("proposal") or {}
    if status == "resolved":
        return _dispute_resolved(data)
    if proposal and just(data, proposal.get("at")):
        return _dispute_proposed(data, side, proposal)
    if status == "escalated":
        return _dispute(
            "escalated",
            data,
            f"The dispute about {job_of(data)} goes to an administrator",
            f"They will decide about {sum_of(data)}. Say what they should know.",
            own=data.get(f"{side}_id") == (data.get("timeline") or [{}])[-1].get("by"),
        )
    if status != "open":
        return None
    own = data.get(f"{side}_id") == data.get("opened_by")
    if own:
        return _dispute(
            "opened",
            data,
            f"You opened a dispute about {job_of(data)}",
            f"{sum_of(data)} is frozen until it is resolved.",
            own=True,
        )
    return _dispute(
        "opened",
        data,
        f"A dispute about {job_of(data)} was opened",
        f"{sum_of(data)} is frozen until you both agree or an administrator decides.",
        until(data, "answer_by", "Answer, or propose how to end it,"),
    )


def _dispute(
    what: str, data: Data, title: str, *told: str, own: bool = False, rank: int = 0, mark: str = ""
) -> Notice:
    return Notice(
        kind=f"dispute_{what}",
        title=title,
        text=lines(*told),
        subject_id=data["id"],
        own=own,
        fact=f"dispute_{what}:{data['id']}:{mark}",
        path=job_path(data["job_id"]),
        rank=rank,
    )


def _shares(data: Data, refund: int) -> str:
    currency = str(data.get("currency"))
    back, rest = display(refund, currency), display(int(data.get("amount") or 0) - refund, currency)
    return f"{back} goes back to the customer, {rest} counts as done work."


def _dispute_proposed(data: Data, side: Side, proposal: Data) -> Notice:
    shares = _shares(data, int(proposal.get("refund_amount") or 0))
    if data.get(f"{side}_id") == proposal.get("by"):
        return _dispute(
            "proposed",
            data,
            f"Your proposal for {job_of(data)} is out",
            shares,
            own=True,
            mark=proposal["at"],
        )
    return _dispute(
        "proposed",
        data,
        f"A proposal to end the dispute about {job_of(data)}",
        shares,
        until(data, "answer_by", "Agree, or propose something else,"),
        mark=proposal["at"],
    )


def _dispute_resolved(data: Data) -> Notice:
    refund = data.get("refund_amount")
    shares = _shares(data, int(refund)) if refund is not None else "The money is free again."
    return _dispute(
        "resolved", data, f"The dispute about {job_of(data)} is resolved", shares, rank=1
    )
