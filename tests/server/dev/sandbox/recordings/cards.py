"""Holds, captures and declines of Stripe's test cards, API version 2026-06-24.dahlia."""

from __future__ import annotations

from .replay import CHARGE, FOODNETWORK, Recording, Step

INTENTS = "/v1/payment_intents"
VALIDATOR = FOODNETWORK + "Stripe_PaymentIntentValidator/_call/"

# test id -> the cassette's name of the card
ACCEPTED = {
    "pm_card_visa": "Visa",
    "pm_card_visa_debit": "Visa_debit_",
    "pm_card_mastercard": "Mastercard",
    "pm_card_mastercard_debit": "Mastercard_debit_",
    "pm_card_mastercard_prepaid": "Mastercard_prepaid_",
    "pm_card_amex": "American_Express",
    "pm_card_discover": "Discover",
    "pm_card_diners": "Diners_Club",
    "pm_card_jcb": "JCB",
    "pm_card_unionpay": "UnionPay",
}
# test id -> cassette, code, decline code, advice, network's decline code, network's advice, param
DECLINED = {
    "pm_card_visa_chargeDeclined": (
        *("Generic_decline", "card_declined", "generic_decline"),
        *("try_again_later", "01", None, None),
    ),
    "pm_card_visa_chargeDeclinedInsufficientFunds": (
        *("Insufficient_funds_decline", "card_declined", "insufficient_funds"),
        *("try_again_later", "51", "02", None),
    ),
    "pm_card_visa_chargeDeclinedLostCard": (
        *("Lost_card_decline", "card_declined", "lost_card"),
        *("do_not_try_again", "41", "01", None),
    ),
    "pm_card_visa_chargeDeclinedStolenCard": (
        *("Stolen_card_decline", "card_declined", "stolen_card"),
        *("do_not_try_again", "43", "01", None),
    ),
    "pm_card_chargeDeclinedExpiredCard": (
        *("Expired_card_decline", "expired_card", "expired_card"),
        *("confirm_card_data", "54", "03", "exp_month"),
    ),
    "pm_card_chargeDeclinedIncorrectCvc": (
        *("Incorrect_CVC_decline", "incorrect_cvc", "incorrect_cvc"),
        *("confirm_card_data", "N7", "03", "cvc"),
    ),
    "pm_card_chargeDeclinedProcessingError": (
        *("Processing_error_decline", "processing_error", "processing_error"),
        *("try_again_later", "06", None, None),
    ),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": (
        *("Exceeding_velocity_limit_decline", "card_declined", "card_velocity_exceeded"),
        *("try_again_later", "61", "02", None),
    ),
}


def _created(method: str, more: str = "") -> Step:
    """Create an intent that holds money: nothing is tried before it is confirmed."""
    form = (
        f"amount=100&currency=eur&payment_method={method}&payment_method_types[0]=card"
        f"&capture_method=manual{more}"
    )
    return Step(
        "POST",
        INTENTS,
        form,
        facts={
            "status": "requires_confirmation",
            "amount": 100,
            "amount_capturable": 0,
            "amount_received": 0,
            "capture_method": "manual",
            "confirmation_method": "automatic",
            "latest_charge": None,
            "last_payment_error": None,
        },
        keep={"intent": "id"},
    )


def _held_and_captured() -> tuple[Step, ...]:
    held = {
        "status": "requires_capture",
        "amount_capturable": 100,
        "amount_received": 0,
        "latest_charge": CHARGE,
    }
    taken = {
        "status": "succeeded",
        "amount": 100,
        "amount_capturable": 0,
        "amount_received": 100,
        "latest_charge": CHARGE,
    }
    return (
        Step("POST", INTENTS + "/{intent}/confirm", facts=held),
        Step("GET", INTENTS + "/{intent}", facts=held),
        Step("POST", INTENTS + "/{intent}/capture", facts=taken),
        Step("GET", INTENTS + "/{intent}", facts=taken),
    )


def _accepted(method: str, name: str) -> Recording:
    source = f"{VALIDATOR}as_a_guest/when_payment_intent_is_valid/from_{name}/captures_the_payment"
    return Recording(f"{method}-captured", source, (_created(method), *_held_and_captured()))


CUSTOMER = Step("POST", "/v1/customers", "name=Apple Customer", keep={"customer": "id"})
OF_CUSTOMER = "&customer={customer}&setup_future_usage=off_session"


def _of_customer(method: str, name: str) -> Recording:
    source = (
        f"{VALIDATOR}as_a_Stripe_customer/when_payment_intent_is_valid/from_{name}/"
        "captures_the_payment"
    )
    steps = (CUSTOMER, _created(method, OF_CUSTOMER), *_held_and_captured())
    return Recording(f"{method}-of-customer-captured", source, steps)


def _refused(method: str, *, customer: bool) -> Recording:
    name, code, decline, advice, network_code, network_advice, param = DECLINED[method]
    who = "as_a_Stripe_customer" if customer else "as_a_guest"
    error = {
        "type": "card_error",
        "code": code,
        "decline_code": decline,
        "advice_code": advice,
        "network_decline_code": network_code,
        "network_advice_code": network_advice,
        "param": param,
        "charge": CHARGE,
        "payment_intent.id": "{intent}",
        "payment_intent.status": "requires_payment_method",
        "payment_intent.payment_method": None,
        "payment_intent.amount_capturable": 0,
        "payment_intent.latest_charge": CHARGE,
        "payment_intent.last_payment_error.code": code,
        "payment_intent.last_payment_error.decline_code": decline,
        "payment_intent.last_payment_error.advice_code": advice,
        "payment_method.object": "payment_method",
        "doc_url": f"https://stripe.com/docs/error-codes/{(code or '').replace('_', '-')}",
    }
    confirmed = Step(
        "POST",
        INTENTS + "/{intent}/confirm",
        status=402,
        facts={f"error.{path}": value for path, value in error.items()},
    )
    steps = (CUSTOMER, _created(method, OF_CUSTOMER)) if customer else (_created(method),)
    return Recording(
        f"{method}-{'customer' if customer else 'guest'}-declined",
        f"{VALIDATOR}{who}/when_payment_intent_is_invalid/from_{name}/"
        "raises_Stripe_error_with_payment_intent_last_payment_error_as_message",
        (*steps, confirmed),
    )


TABLE = (
    *(_accepted(method, name) for method, name in ACCEPTED.items()),
    *(_of_customer(method, ACCEPTED[method]) for method in ("pm_card_visa", "pm_card_amex")),
    *(_refused(method, customer=customer) for method in DECLINED for customer in (False, True)),
)
