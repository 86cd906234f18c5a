"""Texts of alerts to administrators."""

from domain.kernel.money import display
from domain.notifications.text import (
    TITLE_LENGTH,
    Data,
    Notice,
    Side,
    failure_text,
    one_line,
    quoted_title,
)

ALERTS = {
    "capture_failed": "The capture of an accepted offer failed",
    "refund_failed": "A refund failed",
    "dead_letter": "A task was moved to the dead letters",
    "payment_failed": "A payment failed",
    "payout_failed": "A withdrawal came back",
    "onboarding_refused": "Stripe refused a contractor's onboarding",
    "account_rejected": "Stripe rejected a contractor's account",
    "stripe_settings": "Stripe is set up otherwise than this server",
    "payouts_automatic": "Stripe pays out by itself from a contractor's account",
    "customer_refused": "Stripe refused to save a way to pay",
    "transfer_refused": "Stripe refused a transfer",
    "reversal_refused": "Stripe refused to take money back",
    "evidence_refused": "Stripe refused evidence",
    "deletion_refused": "Stripe refused to delete a customer",
    "payout_unasked": "Stripe paid out what nobody asked for",
    "payout_unexplained": "A payout at Stripe cannot be explained",
    "payout_schedule": "Stripe pays out the platform by itself",
    "escrow_paid_out": "Escrow was paid out",
    "debt_ownerless": "Somebody who is gone owes money",
    "foreign_line": "A line of Stripe's books needs a decision",
    "unknown_line": "Stripe's books have a line of an unknown type",
    "approval_required": "A command of an administrator waits for another one",
}


def alert(data: Data, side: Side) -> Notice:
    kind = one_line(str(data["kind"]), TITLE_LENGTH)
    title, subject = (
        ALERTS.get(kind, failure_text(kind).capitalize()),
        str(data.get("subject") or ""),
    )
    urgent = data.get("urgent", True)
    return Notice(
        kind=kind,
        title=f"Alert: {title}" if urgent else title,
        text=str(data.get("message") or ""),
        subject_id=subject,
        path="/admin",
        own=not urgent,
        always=True,
        topic=f"{kind}:{subject}",
    )


def capture_failure(job_title: str, amount: int, currency: str, failure: str) -> str:
    """The message of the alert `capture_failed`."""
    return (
        f"{display(amount, currency)} for {quoted_title(job_title)} could not be captured "
        f"after the contractor had accepted ({failure}). The offer has failed, the job is open "
        "again, and both sides have been notified."
    )


def payment_failure(job_title: str, amount: int, currency: str, failure: str) -> str:
    """The message of the alert `payment_failed`."""
    return (
        f"{display(amount, currency)} for {quoted_title(job_title)} could not be held on the "
        f"customer's card ({failure}). The offer has failed, and the customer has "
        "been notified."
    )


def payout_failure(amount: int, currency: str, failure: str | None, *, gone: bool = False) -> str:
    """The message of the alert `payout_failed`."""
    return (
        f"A withdrawal of {display(amount, currency)} came back "
        f"({failure_text(failure) or 'no reason'}). {returned_to(gone=gone)}."
    )


def returned_to(*, gone: bool) -> str:
    """Where the money of a withdrawal is that came back, and who can do something about it."""
    if gone:
        return (
            "The money is in the wallet again, but its owner is banned or deleted and cannot "
            "withdraw it: pay it out, hold it or write it off, under Money without owner"
        )
    return "The money is in the wallet again, and its owner has been notified"
