"""Texts of notifications about payments and chargebacks."""

from domain.notifications.text import Data, Notice, Side, amount_of, job_name, job_path, join_lines

# Source: Stripe, "Decline codes". Lost and stolen cards get the general text.
DECLINES = {
    "insufficient_funds": "There is not enough money on the card.",
    "card_velocity_exceeded": "The card has reached its limit.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The security code of the card is wrong.",
    "incorrect_number": "The number of the card is wrong.",
    "authentication_required": "The bank asks you to confirm the payment.",
    "payment_intent_authentication_failure": "The bank could not confirm that it was you.",
    "too_many_attempts": "The card was tried too often today. Use another one, or wait.",
    "processing_error": "The bank could not process the card just now.",
    "currency_not_supported": "The card does not support this currency.",
}


def payment_updated(data: Data, side: Side) -> Notice | None:
    status = data.get("status")
    if side is not Side.CUSTOMER or status not in ("failed", "requires_payment"):
        return None
    if status == "failed":
        kind, title = "payment_failed", f"The payment for {job_name(data)} did not go through"
        why = DECLINES.get(str(data.get("failure")), "Your bank declined the card.")
        text = join_lines(
            why,
            f"The offer of {amount_of(data)} has ended, and nothing was taken.",
            "Make the offer again, if necessary with another card.",
        )
    elif data.get("processing_since"):
        kind = "payment_processing"
        title = f"Your bank is still working on the payment for {job_name(data)}"
        text = join_lines(
            "That can take some days, and you need not do anything.",
            f"The contractor sees your offer when {amount_of(data)} have arrived.",
            "If the payment does not go through, we tell you.",
        )
    else:
        kind, title = "payment_unfinished", f"Finish the payment for {job_name(data)}"
        text = join_lines(
            f"Your bank asks you to confirm the payment of {amount_of(data)}.",
            "The contractor sees your offer as soon as it is confirmed.",
        )
    about = data.get("offer_id") or data["id"]
    return Notice(
        kind=kind,
        title=title,
        text=text,
        subject_id=about,
        fact=f"{kind}:{about}",
        path=job_path(data["job_id"]),
        own=kind == "payment_unfinished",
        rank=1,
    )


def chargeback_updated(data: Data, side: Side) -> Notice | None:
    status, job, amount = data.get("status"), job_name(data), amount_of(data)
    if side is Side.CUSTOMER:
        if status != "open":
            return None
        title = f"Your bank disputes the payment for {job}"
        sentences = [f"It has taken {amount} back. If that is a mistake, tell your bank."]
    elif status == "open":
        title = f"The customer's bank disputes the payment for {job}"
        sentences = [
            f"{amount} is frozen until the bank has decided; that takes weeks.",
            "Send our administrators evidence that the work was done.",
        ]
    elif status == "inquiry":
        title = f"The customer's bank asks about the payment for {job}"
        sentences = [
            "It has not taken any money so far, and may never do so.",
            "Send our administrators evidence that the work was done.",
        ]
    elif status == "closed":
        title = f"The bank has closed its inquiry about {job}"
        sentences = [f"{amount} is free."]
    elif status == "won":
        title = f"The bank decided in your favour about {job}"
        sentences = [f"{amount} is free again."]
    elif status == "lost":
        title = f"The bank decided against the payment for {job}"
        sentences = [
            f"{amount} stays with the customer. Your part of it is taken from your wallet."
        ]
    else:
        return None
    return Notice(
        kind=f"chargeback_{status}",
        title=title,
        text=join_lines(*sentences),
        subject_id=data["id"],
        fact=f"chargeback:{data['id']}:{status}",
        own=side is Side.CUSTOMER,
        path=job_path(data["job_id"]),
    )
