"""The types of payment methods that a deployment may take (`PAYMENT_METHODS`), by Stripe's names.

Only listed types are asked for: what is switched on in Stripe's dashboard alone is never offered.
Sources: Stripe, "Payment method support" (currencies), "Place a hold on a payment method" (holds
and how long they last), "Delayed notification payment methods" (`delayed`).
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

CARD = "card"


class MethodType(msgspec.Struct, frozen=True):
    """A type of payment method.

    `currencies` are those that it pays in; none means all. `hold` says how long money is held;
    without it the money is captured at once. A `saved` one can be kept for later offers. A
    `delayed` one needs days until Stripe knows whether it has paid. `capability` is that of the
    platform's account at Stripe which the type needs.
    """

    capability: str
    currencies: tuple[str, ...] = ()
    hold: timedelta | None = None
    saved: bool = False
    delayed: bool = False


METHOD_TYPES = {
    CARD: MethodType("card_payments", hold=timedelta(days=7), saved=True),
    "link": MethodType("link_payments", hold=timedelta(days=7), saved=True),
    "crypto": MethodType("crypto_payments", ("USD",)),
    "us_bank_account": MethodType(
        "us_bank_account_ach_payments", ("USD",), saved=True, delayed=True
    ),
    "sepa_debit": MethodType("sepa_debit_payments", ("EUR",), saved=True, delayed=True),
    "bacs_debit": MethodType("bacs_debit_payments", ("GBP",), saved=True, delayed=True),
    "acss_debit": MethodType("acss_debit_payments", ("CAD", "USD"), saved=True, delayed=True),
    "au_becs_debit": MethodType("au_becs_debit_payments", ("AUD",), saved=True, delayed=True),
    "bancontact": MethodType("bancontact_payments", ("EUR",)),
    "eps": MethodType("eps_payments", ("EUR",)),
    "ideal": MethodType("ideal_payments", ("EUR",)),
    "p24": MethodType("p24_payments", ("EUR", "PLN")),
}
DEFAULT_METHODS = (CARD, "link")  # `crypto` is taken where it is listed


def methods_for(methods: Sequence[str], currency: str) -> list[str]:
    """Those of the types that can pay in a currency, in upper case."""
    return [
        name
        for name in methods
        if not METHOD_TYPES[name].currencies or currency in METHOD_TYPES[name].currencies
    ]


def savable(methods: Sequence[str]) -> list[str]:
    """Those of the types that can be kept for later offers."""
    return [name for name in methods if METHOD_TYPES[name].saved]


def holdable(methods: Sequence[str]) -> list[str]:
    """Those of the types whose money can be held."""
    return [name for name in methods if METHOD_TYPES[name].hold]
