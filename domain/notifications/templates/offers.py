"""Texts of notifications about offers."""

from domain.notifications.text import (
    Data,
    Notice,
    Side,
    amount_of,
    job_name,
    job_path,
    join_lines,
    with_deadline,
)


def _offer_notice(
    kind: str, data: Data, title: str, *sentences: str, own: bool = False, rank: int = 0
) -> Notice:
    return Notice(
        kind=kind,
        title=title,
        text=join_lines(*sentences),
        subject_id=data["id"],
        own=own,
        rank=rank,
        fact=f"{kind}:{data['id']}",
        path=job_path(data["job_id"]),
    )


def _money_back(data: Data) -> str:
    """Only an offer that was pending had money held for it."""
    if data.get("captured_amount"):
        return f"You get {amount_of(data)} back."
    if data.get("processing_since"):
        return (
            f"Your bank is still working on the payment. If {amount_of(data)} arrive, you get all "
            "of it back."
        )
    history = data.get("history")
    if history is not None and all(step["status"] != "pending" for step in history):
        return "Nothing was taken from you."
    return (
        f"The hold of {amount_of(data)} on your card is released; banks show that within some days."
    )


def offer_created(data: Data, side: Side) -> Notice:
    job = job_name(data)
    if side is Side.CUSTOMER:
        paid = "is paid, and comes back if the offer is not accepted."
        held = "is held on your card. You are charged only when the offer is accepted."
        return _offer_notice(
            "offer_created",
            data,
            f"Your offer for {job} was sent",
            f"{amount_of(data)} {paid if data.get('captured_amount') else held}",
            with_deadline(data, "expires_at", "The contractor can answer"),
            own=True,
        )
    return _offer_notice(
        "offer_created",
        data,
        f"You have an offer of {amount_of(data)} for {job}",
        "The money is set aside already: it is yours to earn.",
        with_deadline(data, "expires_at", "Accept it, decline it or make a counter-offer"),
    )


def offer_accepted(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer_notice(
            "offer_accepted",
            data,
            f"Your offer for {job_name(data)} was accepted",
            f"{amount_of(data)} was taken from your card.",
            "We keep it until the work is done and you have approved it.",
        )
    return _offer_notice(
        "offer_accepted",
        data,
        f"{job_name(data)} is yours: you can start",
        f"The customer has paid {amount_of(data)}.",
        "We keep it until the work is approved; your part then goes to your wallet.",
    )


def offer_rejected(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer_notice(
            "offer_rejected",
            data,
            f"Your offer for {job_name(data)} was declined",
            _money_back(data),
            "You can make another offer, also to another contractor.",
        )
    return _offer_notice(
        "offer_rejected",
        data,
        f"You declined the offer for {job_name(data)}",
        "The customer has been notified.",
        own=True,
    )


def offer_withdrawn(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer_notice(
            "offer_withdrawn",
            data,
            f"You withdrew the offer for {job_name(data)}",
            _money_back(data),
            own=True,
        )
    return _offer_notice(
        "offer_withdrawn",
        data,
        f"The offer for {job_name(data)} was withdrawn",
        f"The customer withdrew the offer of {amount_of(data)}. You need not do anything.",
    )


def offer_expired(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer_notice(
            "offer_expired",
            data,
            f"Your offer for {job_name(data)} has expired",
            _money_back(data),
            "If you still want the work done, make a new offer.",
        )
    return _offer_notice(
        "offer_expired",
        data,
        f"The offer for {job_name(data)} has expired",
        "It can no longer be accepted. The customer may make a new one.",
    )


def offer_blocked(data: Data, side: Side) -> Notice:
    why = "Another offer was accepted, or the job was cancelled."
    if side is Side.CUSTOMER:
        return _offer_notice(
            "offer_blocked",
            data,
            f"Your offer for {job_name(data)} is closed",
            why,
            _money_back(data),
            own=True,
        )
    return _offer_notice("offer_blocked", data, f"The offer for {job_name(data)} is closed", why)


def offer_failed(data: Data, side: Side) -> Notice:
    if side is Side.CUSTOMER:
        return _offer_notice(
            "payment_failed",
            data,
            f"The payment for {job_name(data)} did not go through",
            "The offer has ended, and nothing was taken from your card.",
            "Make the offer again, if necessary with another card.",
        )
    return _offer_notice(
        "offer_failed",
        data,
        f"The offer for {job_name(data)} has failed",
        "The customer's payment did not go through: please do not begin the work.",
        "The customer may make a new offer.",
    )


def offer_countered(data: Data, side: Side) -> Notice:
    counter: Data = data.get("counter") or {}
    wanted = amount_of({"amount": counter.get("amount"), "currency": data.get("currency")})
    if side is Side.CUSTOMER:
        return _offer_notice(
            "offer_countered",
            data,
            f"A counter-offer of {wanted} for {job_name(data)}",
            f"Your offer was {amount_of(data)}. {_money_back(data)}",
            f"If you agree, make a new offer of {wanted}.",
        )
    return _offer_notice(
        "offer_countered",
        data,
        f"Your counter-offer of {wanted} for {job_name(data)} was sent",
        "The customer has been notified, and can make a new offer.",
        own=True,
    )
