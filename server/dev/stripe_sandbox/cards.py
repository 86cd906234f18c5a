"""What each of Stripe's test cards does, and the other methods of the sandbox."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import StripeError, declined


@dataclass(frozen=True)
class Card:
    """A test card: `refusal` names why it is declined, `secure` that it needs 3-D Secure,
    `disputed` how its charges are disputed, `refund` what becomes of its refunds."""

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
        return declined(*REFUSALS[self.refusal])


REFUSALS = {
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
    "visa": Card("4242424242424242"),
    "mastercard": Card("5555555555554444", "mastercard"),
    "amex": Card("378282246310005", "amex"),
    "bypassPending": Card("4000000000000077", instant=True),
    "createDispute": Card("4000000000000259", disputed="fraudulent"),
    "createDisputeProductNotReceived": Card("4000000000002685", disputed="product_not_received"),
    "createDisputeInquiry": Card("4000000000001976", disputed="inquiry"),
    "refundFail": Card("4000000000005126", refund="failed"),
    "pendingRefund": Card("4000000000007726", refund="pending"),
    "authenticationRequired": Card("4000002760003184", secure=True),
    "threeDSecure2Required": Card("4000000000003220", secure=True),
    "threeDSecureRequired": Card("4000000000003063", secure=True),
    "chargeDeclined": Card("4000000000000002", refusal="generic", attachable=False),
    "chargeCustomerFail": Card("4000000000000341", refusal="generic"),
    "chargeDeclinedInsufficientFunds": Card("4000000000009995", refusal="funds", attachable=False),
    "chargeDeclinedLostCard": Card("4000000000009987", refusal="lost", attachable=False),
    "chargeDeclinedExpiredCard": Card("4000000000000069", refusal="expired", attachable=False),
    "chargeDeclinedIncorrectCvc": Card("4000000000000127", refusal="cvc", attachable=False),
    "chargeDeclinedProcessingError": Card(
        "4000000000000119", refusal="processing", attachable=False
    ),
}
# Named by us, as Stripe has no test ids for them: `pm_crypto_usdc` is paid at once, the other one
# on a page, as people do it; neither can be held, nor can what is paid with Link's own balance.
OTHERS = {
    "crypto_usdc": Card(kind="crypto", attachable=False),
    "crypto_usdc_page": Card(kind="crypto", attachable=False, secure=True),
    "link": Card(kind="link"),
}
BY_NUMBER = {card.number: name for name, card in CARDS.items()}
