"""Recorded exchanges, and their replay on a sandbox."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..conftest import Shop

GUMROAD = "antiwork/gumroad@8c16285e spec/support/fixtures/vcr_cassettes/"
FOODNETWORK = (
    "openfoodfoundation/openfoodnetwork@d4f0a99e spec/fixtures/vcr_cassettes/Stripe-v19.3.1/"
)
PAY = "pay-rails/pay@5b018bc1 test/vcr_cassettes/"
SPREE = "spree/spree_stripe@80f01711 spec/vcr/"


class Matching:
    """A fact about the form of a value, such as an id."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.pattern, other) is not None

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __repr__(self) -> str:
        return f"a string like {self.pattern}"


class ClockTime:
    """A time of day in UTC, of a moment in Unix seconds."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and other % 86_400 == self.seconds

    def __hash__(self) -> int:
        return hash(self.seconds)

    def __repr__(self) -> str:
        return f"a moment at {self.seconds} s of its day"


CHARGE, ENTRY = Matching(r"(ch|py)_\w+"), Matching(r"txn_\w+")
PAYMENT, REVERSAL = Matching(r"py_\w+"), Matching(r"trr_\w+")
MIDNIGHT, END_OF_DAY = ClockTime(0), ClockTime(86_399)


@dataclass(frozen=True)
class Step:
    """One exchange. `facts` are values of the answer by dotted path; `keep` gives values of the
    answer a name, which later paths, forms and facts use as `{name}`. `account` acts as the
    connected account. A step without facts prepares the recorded ones."""

    method: str
    path: str
    form: str = ""
    status: int = 200
    facts: Mapping[str, Any] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    account: bool = False


@dataclass(frozen=True)
class Recording:
    """Exchanges of one cassette, in their order. With `seller` a connected account exists as
    `{seller}`. `pending` is how many seconds pass before the money of a charge is available."""

    name: str
    source: str
    steps: tuple[Step, ...]
    seller: bool = False
    pending: int = 0

    @property
    def rows(self) -> int:
        """The number of exchanges whose facts are checked."""
        return sum(bool(step.facts) for step in self.steps)


def card(number: str) -> Step:
    """Create a payment method from a card's number, as `{card}`."""
    form = f"type=card&card[number]={number}&card[exp_month]=12&card[exp_year]=2034&card[cvc]=314"
    return Step("POST", "/v1/payment_methods", form, keep={"card": "id"})


def paid(number: str, amount: int, **facts: Any) -> tuple[Step, ...]:
    """Pay with a card, as `{intent}` and `{charge}`."""
    form = (
        "payment_method={card}&confirmation_method=manual&payment_method_types[0]=card&confirm=true"
        f"&currency=usd&amount={amount}"
    )
    kept = {"intent": "id", "charge": "latest_charge"}
    return card(number), Step("POST", "/v1/payment_intents", form, facts=facts, keep=kept)


async def replay(recording: Recording, shop: Shop) -> None:
    """Send the requests of a recording, and compare each answer with its facts."""
    names: dict[str, Any] = {}
    await shop.control("POST", "settings", {"available_delay_seconds": recording.pending})
    if recording.seller:
        names["seller"] = await shop.contractor()
    for number, step in enumerate(recording.steps):
        status, answer = await _send(step, names, shop)
        at = f"{recording.source} step {number}: {step.method} {step.path}"
        assert status == step.status, f"{at}: {answer}"
        for path, value in step.facts.items():
            assert value_at(answer, path) == _filled(value, names), f"{at}: {path}"
        for name, path in step.keep.items():
            names[name] = value_at(answer, path)


async def _send(step: Step, names: dict[str, Any], shop: Shop) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {shop.key}"}
    if step.account:
        headers["Stripe-Account"] = names["seller"]
    url, form = shop.url + _filled(step.path, names), _filled(step.form, names)
    fields = [tuple(pair.split("=", 1)) for pair in form.split("&") if pair]
    async with shop.http.request(step.method, url, data=fields or None, headers=headers) as answer:
        return answer.status, await answer.json()


def _filled(value: Any, names: dict[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\{(\w+)\}", value):
        return names[whole[1]]
    return re.sub(r"\{(\w+)\}", lambda found: str(names[found[1]]), value)


def value_at(answer: Any, path: str) -> Any:
    """The value at a dotted path; None for what is absent, as an absent field reads in an SDK."""
    for part in path.split("."):
        if isinstance(answer, list):
            answer = answer[int(part)] if int(part) < len(answer) else None
        else:
            answer = answer.get(part) if isinstance(answer, dict) else None
    return answer
