"""The behavior of each of Stripe's test cards and of the sandbox's other payment methods."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from server.dev.stripe_sandbox.errors import StripeError, declined


@dataclass(frozen=True)
class Decline:
    """Why a bank declines, and what Stripe and the card network advise."""

    code: str
    decline_code: str
    message: str = "Your card was declined."
    advice_code: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None
    param: str | None = None


@dataclass(frozen=True)
class CardBehavior:
    """The behavior of a test card. `refusal` is a key of `DECLINES`, `secure` needs 3-D Secure,
    `asks_when_absent` is a bank that declines off-session payments unless the card was set up,
    `disputed` is the reason of disputes of its charges, `refund` the outcome of its refunds.
    `delayed` is what a bank does after days of work: it `pays`, it `fails`, or it is `stuck`."""

    number: str = ""
    brand: str = "visa"
    kind: str = "card"
    funding: str = "credit"
    refusal: str = ""
    secure: bool = False
    asks_when_absent: bool = False
    attachable: bool = True
    instant: bool = False
    disputed: str = ""
    refund: str = ""
    delayed: str = ""

    @property
    def error(self) -> StripeError:
        """The card_error of a declined card."""
        return decline_error(self.refusal)


def decline_error(refusal: str) -> StripeError:
    """The card_error of a key of `DECLINES`."""
    return declined(**asdict(DECLINES[refusal]))


# Codes as recorded with API version 2026-06-24.dahlia, see tests/server/dev/sandbox/recordings.
DECLINES = {
    "generic": Decline(
        "card_declined",
        "generic_decline",
        advice_code="try_again_later",
        network_decline_code="01",
    ),
    "funds": Decline(
        "card_declined",
        "insufficient_funds",
        "Your card has insufficient funds.",
        advice_code="try_again_later",
        network_decline_code="51",
        network_advice_code="02",
    ),
    "velocity": Decline(
        "card_declined",
        "card_velocity_exceeded",
        "Your card was declined for making repeated attempts too frequently or exceeding its"
        " amount limit.",
        advice_code="try_again_later",
        network_decline_code="61",
        network_advice_code="02",
    ),
    "lost": Decline(
        "card_declined",
        "lost_card",
        advice_code="do_not_try_again",
        network_decline_code="41",
        network_advice_code="01",
    ),
    "stolen": Decline(
        "card_declined",
        "stolen_card",
        advice_code="do_not_try_again",
        network_decline_code="43",
        network_advice_code="01",
    ),
    "fraud": Decline("card_declined", "fraudulent"),
    "expired": Decline(
        "expired_card",
        "expired_card",
        "Your card has expired.",
        advice_code="confirm_card_data",
        network_decline_code="54",
        network_advice_code="03",
        param="exp_month",
    ),
    "cvc": Decline(
        "incorrect_cvc",
        "incorrect_cvc",
        "Your card's security code is incorrect.",
        advice_code="confirm_card_data",
        network_decline_code="N7",
        network_advice_code="03",
        param="cvc",
    ),
    "zip": Decline(
        "incorrect_zip",
        "",
        "Your card could not be authorized with this postal code. Correct it, or ask the bank that"
        " issued the card.",
        param="address_zip",
    ),
    "processing": Decline(
        "processing_error",
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
        advice_code="try_again_later",
        network_decline_code="06",
    ),
    "authentication": Decline(
        "authentication_required",
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
    "authentication_not_handled": Decline(
        "authentication_required",
        "authentication_not_handled",
        "This payment needs an authentication by the customer, and `error_on_requires_action` was"
        " set.",
    ),
}
# https://docs.stripe.com/testing; the keys follow `pm_card_` and `tok_`.
CARDS = {
    "visa": CardBehavior("4242424242424242"),
    "visa_debit": CardBehavior("4000056655665556", funding="debit"),
    "mastercard": CardBehavior("5555555555554444", "mastercard"),
    "mastercard_debit": CardBehavior("5200828282828210", "mastercard", funding="debit"),
    "mastercard_prepaid": CardBehavior("5105105105105100", "mastercard", funding="prepaid"),
    "amex": CardBehavior("378282246310005", "amex"),
    "discover": CardBehavior("6011111111111117", "discover"),
    "diners": CardBehavior("3056930009020004", "diners"),
    "jcb": CardBehavior("3566002020360505", "jcb"),
    "threeDSecureOptional": CardBehavior("4000000000003055"),
    "unionpay": CardBehavior("6200000000000005", "unionpay"),
    "bypassPending": CardBehavior("4000000000000077", instant=True),
    "createDispute": CardBehavior("4000000000000259", disputed="fraudulent"),
    "createDisputeProductNotReceived": CardBehavior(
        "4000000000002685", disputed="product_not_received"
    ),
    "createDisputeInquiry": CardBehavior("4000000000001976", disputed="inquiry"),
    "refundFail": CardBehavior("4000000000005126", refund="failed"),
    "pendingRefund": CardBehavior("4000000000007726", refund="pending"),
    "authenticationRequiredOnSetup": CardBehavior(
        "4000002500003155", secure=True, asks_when_absent=True
    ),
    "authenticationRequired": CardBehavior("4000002760003184", secure=True),
    "threeDSecure2Required": CardBehavior("4000000000003220", secure=True),
    "threeDSecureRequired": CardBehavior("4000000000003063", secure=True),
    "chargeDeclined": CardBehavior("4000000000000002", refusal="generic", attachable=False),
    "chargeCustomerFail": CardBehavior("4000000000000341", refusal="generic"),
    "chargeDeclinedInsufficientFunds": CardBehavior(
        "4000000000009995", refusal="funds", attachable=False
    ),
    "chargeDeclinedLostCard": CardBehavior("4000000000009987", refusal="lost", attachable=False),
    "chargeDeclinedStolenCard": CardBehavior(
        "4000000000009979", refusal="stolen", attachable=False
    ),
    "chargeDeclinedVelocityLimitExceeded": CardBehavior(
        "4000000000006975", refusal="velocity", attachable=False
    ),
    "chargeDeclinedFraudulent": CardBehavior("4100000000000019", refusal="fraud", attachable=False),
    "chargeDeclinedExpiredCard": CardBehavior(
        "4000000000000069", refusal="expired", attachable=False
    ),
    "chargeDeclinedIncorrectCvc": CardBehavior("4000000000000127", refusal="cvc", attachable=False),
    "cvcCheckFail": CardBehavior("4000000000000101", refusal="cvc", attachable=False),
    "avsZipFail": CardBehavior("4000000000000036", refusal="zip", attachable=False),
    "chargeDeclinedProcessingError": CardBehavior(
        "4000000000000119", refusal="processing", attachable=False
    ),
}
# Stripe has no test ids for these. `pm_crypto_usdc` is paid at once, `pm_crypto_usdc_page` on a
# page as by a person. Crypto cannot be held.
OTHER_METHODS = {
    "crypto_usdc": CardBehavior(kind="crypto", attachable=False),
    "crypto_usdc_page": CardBehavior(kind="crypto", attachable=False, secure=True),
    "link": CardBehavior(kind="link"),
}
# https://docs.stripe.com/payments/ach-direct-debit/accept-a-payment: test account numbers.
OTHER_METHODS |= {
    f"usBankAccount_{name}": CardBehavior(number, kind="us_bank_account", delayed=delayed)
    for name, number, delayed in (
        ("success", "000123456789", "pays"),
        ("accountClosed", "000111111113", "fails"),
        ("insufficientFunds", "000222222227", "fails"),
        ("processing", "000000000009", "stuck"),
    )
}
# Stripe's other ids of the same cards: `pm_card_visa_chargeDeclinedLostCard`, `tok_radarBlock`.
ALIASES = {
    "radarBlock": "chargeDeclinedFraudulent",
    **{f"visa_{name}": name for name in CARDS if name.startswith("charge")},
}
BY_NUMBER = {card.number: name for name, card in CARDS.items()}


def card_name(test_id: str, prefix: str) -> str | None:
    """The key in `CARDS` of a test id such as `pm_card_visa` or `tok_visa`, or None."""
    if not test_id.startswith(prefix):
        return None
    name = test_id.removeprefix(prefix)
    name = ALIASES.get(name, name)
    return name if name in CARDS else None
