"""Texts of notifications about disputes."""

from domain.kernel.money import display
from domain.notifications.text import (
    Data,
    Notice,
    Side,
    amount_of,
    happened_now,
    job_name,
    job_path,
    join_lines,
    with_deadline,
)


def dispute_updated(data: Data, side: Side) -> Notice | None:
    """A dispute that was opened, escalated or resolved, or got a proposal. Messages send none."""
    status, proposal = data.get("status"), data.get("proposal") or {}
    if status == "resolved":
        return _dispute_resolved(data)
    if proposal and happened_now(data, proposal.get("at")):
        return _dispute_proposed(data, side, proposal)
    if status == "escalated":
        return _dispute_notice(
            "escalated",
            data,
            f"The dispute about {job_name(data)} goes to an administrator",
            f"They will decide about {amount_of(data)}. Add anything that they should know.",
            own=data.get(f"{side}_id") == (data.get("timeline") or [{}])[-1].get("by"),
        )
    if status != "open":
        return None
    own = data.get(f"{side}_id") == data.get("opened_by")
    if own:
        return _dispute_notice(
            "opened",
            data,
            f"You opened a dispute about {job_name(data)}",
            f"{amount_of(data)} is frozen until it is resolved.",
            own=True,
        )
    return _dispute_notice(
        "opened",
        data,
        f"A dispute about {job_name(data)} was opened",
        f"{amount_of(data)} is frozen until you both agree or an administrator decides.",
        with_deadline(data, "answer_by", "Answer, or propose how to end it,"),
    )


def _dispute_notice(
    step: str,
    data: Data,
    title: str,
    *sentences: str,
    own: bool = False,
    rank: int = 0,
    mark: str = "",
) -> Notice:
    return Notice(
        kind=f"dispute_{step}",
        title=title,
        text=join_lines(*sentences),
        subject_id=data["id"],
        own=own,
        fact=f"dispute_{step}:{data['id']}:{mark}",
        path=job_path(data["job_id"]),
        rank=rank,
    )


def _shares(data: Data, refund: int) -> str:
    currency = str(data.get("currency"))
    back, rest = display(refund, currency), display(int(data.get("amount") or 0) - refund, currency)
    return f"{back} goes back to the customer, {rest} counts as completed work."


def _dispute_proposed(data: Data, side: Side, proposal: Data) -> Notice:
    shares = _shares(data, int(proposal.get("refund_amount") or 0))
    if data.get(f"{side}_id") == proposal.get("by"):
        return _dispute_notice(
            "proposed",
            data,
            f"Your proposal for {job_name(data)} was sent",
            shares,
            own=True,
            mark=proposal["at"],
        )
    return _dispute_notice(
        "proposed",
        data,
        f"A proposal to end the dispute about {job_name(data)}",
        shares,
        with_deadline(data, "answer_by", "Agree, or propose something else,"),
        mark=proposal["at"],
    )


def _dispute_resolved(data: Data) -> Notice:
    refund = data.get("refund_amount")
    shares = _shares(data, int(refund)) if refund is not None else "The money is no longer frozen."
    return _dispute_notice(
        "resolved", data, f"The dispute about {job_name(data)} is resolved", shares, rank=1
    )
