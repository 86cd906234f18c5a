"""Texts of notifications about offers."""

from domain.notifications.text import Data, Notice, Side, job_of, job_path, lines, sum_of, until

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
