"""What is told to whom, in plain words: one entry of the table for each event about money.

An entry gets an event's data and the side of one recipient, and answers with a notice or None.
Whoever caused an event finds it in their list (`own`) and gets no mail about it. An acceptance is
news for both: only the captured money makes it one. A payment that still has to be confirmed is
`own` too: its customer stands before the bank's page. Nobody is told what is the other side's
affair: the contractor learns that a payment failed, and not why.
"""

from collections.abc import Mapping

from domain import words_of_work as work
from domain.kernel.money import display
from domain.wording import (
    TITLE_LENGTH,
    WALLET,
    Data,
    Notice,
    Side,
    Words,
    job_of,
    job_path,
    just,
    lines,
    one_line,
    quoted,
    reason,
    sum_of,
    until,
)

# -- payments ----------------------------------------------------------------------------------

# Source: Stripe, "Decline codes". Lost and stolen cards are refused without saying so.
DECLINES = {
    "insufficient_funds": "There is not enough money on the card.",
    "card_velocity_exceeded": "The card has reached its limit.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The security code of the card is wrong.",
    "incorrect_number": "The number of the card is wrong.",
    "authentication_required": "The bank asks you to confirm the payment.",
    "payment_intent_authentication_failure": "The bank could not confirm that it was you.",
    "processing_error": "The bank could not process the card just now.",
    "currency_not_supported": "The card does not support this currency.",
}


def payment_updated(data: Data, side: Side) -> Notice | None:
    status = data.get("status")
    if side is not Side.CUSTOMER or status not in ("failed", "requires_payment"):
        return None
    if status == "failed":
        kind, title = "payment_failed", f"The payment for {job_of(data)} did not go through"
        why = DECLINES.get(str(data.get("failure")), "Your bank has refused the card.")
        text = lines(
            why,
            f"The offer of {sum_of(data)} has ended, and nothing was taken.",
            "Make the offer again, if need be with another card.",
        )
    else:
        kind, title = "payment_unfinished", f"Finish the payment for {job_of(data)}"
        text = lines(
            f"Your bank still has to hear from you about {sum_of(data)}.",
            "The contractor sees your offer as soon as the money is held.",
        )
    about = data.get("offer_id") or data["id"]
    return Notice(
        kind=kind,
        title=title,
        text=text,
        subject_id=about,
        fact=f"{kind}:{about}",
        path=job_path(data["job_id"]),
        own=status != "failed",
        rank=1,
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


def chargeback_updated(data: Data, side: Side) -> Notice | None:
    status, job, amount = data.get("status"), job_of(data), sum_of(data)
    if side is Side.CUSTOMER:
        if status != "open":
            return None
        title = f"Your bank disputes the payment for {job}"
        told = [f"It has taken {amount} back. If that is a mistake, tell your bank."]
    elif status == "open":
        title = f"The customer's bank disputes the payment for {job}"
        told = [
            f"{amount} is frozen until the bank has decided; that takes weeks.",
            "Tell our administrators what shows that the work was done.",
        ]
    elif status == "inquiry":
        title = f"The customer's bank asks about the payment for {job}"
        told = [
            "It has not taken any money so far, and may never do so.",
            "Tell our administrators what shows that the work was done.",
        ]
    elif status == "closed":
        title = f"The bank has closed its question about {job}"
        told = [f"{amount} is free."]
    elif status == "won":
        title = f"The bank decided in your favour about {job}"
        told = [f"{amount} is free again."]
    elif status == "lost":
        title = f"The bank decided against the payment for {job}"
        told = [f"{amount} stays with the customer: your part of it is taken from your wallet."]
    else:
        return None
    return Notice(
        kind=f"chargeback_{status}",
        title=title,
        text=lines(*told),
        subject_id=data["id"],
        fact=f"chargeback:{data['id']}:{status}",
        own=side is Side.CUSTOMER,
        path=job_path(data["job_id"]),
    )


# -- wallets and accounts ----------------------------------------------------------------------


def withdrawal_updated(data: Data, side: Side) -> Notice | None:
    status, amount = data.get("status"), sum_of(data)
    if status == "paid":
        title, told = f"{amount} arrived at your bank", ["The withdrawal is complete."]
    elif status == "failed":
        why = reason(data.get("failure"))
        title = f"The withdrawal of {amount} came back"
        told = [
            f"Your bank did not take it: {why}." if why else "Your bank did not take it.",
            "The money is in your wallet again.",
            "Check your bank account under “Set up payouts”, then withdraw again.",
        ]
    else:
        return None
    return Notice(
        kind=f"withdrawal_{status}",
        title=title,
        text=lines(*told),
        subject_id=data["id"],
        fact=f"withdrawal:{data['id']}:{status}",
        path=WALLET,
    )


def account_updated(data: Data, side: Side) -> Notice | None:
    """Payouts that became possible or were lost, and a wallet that was frozen."""
    if just(data, data.get("frozen_at")):
        kind, at, title = "wallet_frozen", data["frozen_at"], "Your wallet is frozen"
        told = ["Nothing can be paid out for now. Please get in touch with us."]
    elif just(data, at := data.get("payouts_changed_at")) and data.get("payouts_enabled"):
        kind, title = "payouts_possible", "Payouts are set up"
        told = ["From now on you can withdraw what your wallet has available."]
    elif just(data, at):
        kind, title = "payouts_lost", "Payouts have stopped"
        told = ["Stripe needs something from you: open your wallet and press “Set up payouts”."]
    else:
        return None
    return Notice(
        kind=kind,
        title=title,
        text=lines(*told),
        subject_id=data["id"],
        fact=f"{kind}:{data['id']}:{at}",
        path=WALLET,
        always=kind == "wallet_frozen",
    )


# -- administrators ----------------------------------------------------------------------------

ALERTS = {
    "capture_failed": "The capture of an accepted offer failed",
    "refund_failed": "A refund failed",
    "dead_letter": "A task has been given up",
    "payment_failed": "A payment failed",
    "payout_failed": "A withdrawal came back",
}


def alert(data: Data, side: Side) -> Notice:
    kind = one_line(str(data["kind"]), TITLE_LENGTH)
    title, subject = ALERTS.get(kind, reason(kind).capitalize()), str(data.get("subject") or "")
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
        f"{display(amount, currency)} for {quoted(job_title)} could not be captured after the "
        f"contractor had accepted ({failure}). The offer has failed, the job is open again, and "
        "both sides have been told."
    )


def payment_failure(job_title: str, amount: int, currency: str, failure: str) -> str:
    """The message of the alert `payment_failed`."""
    return (
        f"{display(amount, currency)} for {quoted(job_title)} could not be held on the customer's "
        f"card ({reason(failure)}). The offer has failed, and the customer has been told."
    )


def payout_failure(amount: int, currency: str, failure: str | None) -> str:
    """The message of the alert `payout_failed`."""
    return (
        f"A withdrawal of {display(amount, currency)} came back ({reason(failure) or 'no reason'})."
        " The money is in the wallet again, and its owner has been told."
    )


WORDS: Mapping[str, Words] = {
    "/bidding offer.created": work.offer_created,
    "/bidding offer.accepted": work.offer_accepted,
    "/bidding offer.rejected": work.offer_rejected,
    "/bidding offer.withdrawn": work.offer_withdrawn,
    "/bidding offer.expired": work.offer_expired,
    "/bidding offer.blocked": work.offer_blocked,
    "/bidding offer.failed": work.offer_failed,
    "/bidding offer.countered": work.offer_countered,
    "/bidding offer.updated": work.offer_updated,
    "/job job.updated": work.job_updated,
    "/payment payment.updated": payment_updated,
    "/payment dispute.updated": dispute_updated,
    "/payment chargeback.updated": chargeback_updated,
    "/wallet withdrawal.updated": withdrawal_updated,
    "/account account.updated": account_updated,
    "/admin alert": alert,
}
