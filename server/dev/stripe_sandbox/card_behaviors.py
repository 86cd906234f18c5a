"""The behavior of each of Stripe's test cards and of the sandbox's other payment methods."""

from __future__ import annotations

from dataclasses import dataclass

from server.dev.stripe_sandbox.errors import StripeError, declined


@dataclass(frozen=True)
class CardBehavior:
    """The behavior of a test card. `refusal` is a key of `DECLINES`, `secure` needs 3-D Secure,
    `disputed` is the reason of disputes of its charges, `refund` the outcome of its refunds."""

    number: str = ""
    brand: str = "visa"
    kind: str = "card"
    refusal: str = ""
    secure: bool = False
    attachable: bool = True
    instant: bool = False
    disputed: str = ""
    refund: str = ""

    @property
    def error(self) -> StripeError:
        """The card_error of a declined card."""
        return declined(*DECLINES[self.refusal])


DECLINES = {
    "generic": ("card_declined", "generic_decline", "Your card was declined."),
    "funds": ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "lost": ("card_declined", "lost_card", "Your card was declined."),
    "expired": ("expired_card", "expired_card", "Your card has expired."),
    "cvc": ("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    "processing": (
        "processing_error",
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "authentication": (
        "authentication_required",
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
}
# https://docs.stripe.com/testing; the keys follow `pm_card_` and `tok_`.
CARDS = {
    "visa": CardBehavior("4242424242424242"),
    "mastercard": CardBehavior("5555555555554444", "mastercard"),
    "amex": CardBehavior("378282246310005", "amex"),
    "bypassPending": CardBehavior("4000000000000077", instant=True),
    "createDispute": CardBehavior("4000000000000259", disputed="fraudulent"),
    "createDisputeProductNotReceived": CardBehavior(
        "4000000000002685", disputed="product_not_received"
    ),
    "createDisputeInquiry": CardBehavior("4000000000001976", disputed="inquiry"),
    "refundFail": CardBehavior("4000000000005126", refund="failed"),
    "pendingRefund": CardBehavior("4000000000007726", refund="pending"),
    "authenticationRequired": CardBehavior("4000002760003184", secure=True),
    "threeDSecure2Required": CardBehavior("4000000000003220", secure=True),
    "threeDSecureRequired": CardBehavior("4000000000003063", secure=True),
    "chargeDeclined": CardBehavior("4000000000000002", refusal="generic", attachable=False),
    "chargeCustomerFail": CardBehavior("4000000000000341", refusal="generic"),
    "chargeDeclinedInsufficientFunds": CardBehavior(
        "4000000000009995", refusal="funds", attachable=False
    ),
    "chargeDeclinedLostCard": CardBehavior("4000000000009987", refusal="lost", attachable=False),
    "chargeDeclinedExpiredCard": CardBehavior(
        "4000000000000069", refusal="expired", attachable=False
    ),
    "chargeDeclinedIncorrectCvc": CardBehavior("4000000000000127", refusal="cvc", attachable=False),
    "chargeDeclinedProcessingError": CardBehavior(
        "4000000000000119", refusal="processing", attachable=False
    ),
}
# Stripe has no test ids for these. `pm_crypto_usdc` is paid at once, `pm_crypto_usdc_page` on a
# page as by a person. Crypto and Link's own balance cannot be held.
OTHER_METHODS = {
    "crypto_usdc": CardBehavior(kind="crypto", attachable=False),
    "crypto_usdc_page": CardBehavior(kind="crypto", attachable=False, secure=True),
    "link": CardBehavior(kind="link"),
}
BY_NUMBER = {card.number: name for name, card in CARDS.items()}
