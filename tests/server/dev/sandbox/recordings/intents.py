"""Payment intents: confirmation, 3-D Secure, cancelling, changes, declines."""

from __future__ import annotations

from .replay import CHARGE, FOODNETWORK, GUMROAD, SPREE, Matching, Recording, Step, card, paid

INTENTS = "/v1/payment_intents"
PROCESSOR = GUMROAD + "StripeChargeProcessor/"
MANUAL = "payment_method={card}&payment_method_types[0]=card&confirmation_method=manual"
UNEXPECTED = {
    "error.type": "invalid_request_error",
    "error.code": "payment_intent_unexpected_state",
    "error.doc_url": "https://stripe.com/docs/error-codes/payment-intent-unexpected-state",
    "error.payment_intent.id": "{intent}",
}
ASKED = {
    "status": "requires_action",
    "next_action.type": "use_stripe_sdk",
    "amount_received": 0,
    "latest_charge": None,
}
NOT_CHARGED = {"latest_charge": None, "amount_received": 0, "amount_capturable": 0}

_PAYMENTS = (
    Recording(
        "confirmation-pays-at-once",
        PROCESSOR + "_confirm_payment_intent_/when_SCA_was_performed/confirms_the_payment_intent",
        (
            card("4000000000003055"),
            Step(
                "POST",
                INTENTS,
                MANUAL + "&amount=100&currency=usd",
                facts={"status": "requires_confirmation", **NOT_CHARGED},
                keep={"intent": "id"},
            ),
            Step(
                "POST",
                INTENTS + "/{intent}/confirm",
                facts={"status": "succeeded", "amount_received": 100, "latest_charge": CHARGE},
                keep={"charge": "latest_charge"},
            ),
            Step(
                "GET",
                "/v1/charges/{charge}",
                facts={
                    "status": "succeeded",
                    "paid": True,
                    "captured": True,
                    "amount_captured": 100,
                    "amount_refunded": 0,
                    "refunded": False,
                    "disputed": False,
                    "failure_code": None,
                    "outcome.network_status": "approved_by_network",
                    "outcome.seller_message": "Payment complete.",
                    "outcome.type": "authorized",
                    "outcome.network_decline_code": None,
                    "payment_method_details.card.checks.cvc_check": "pass",
                    "payment_method_details.card.amount_authorized": 100,
                    "payment_method_details.card.three_d_secure": None,
                },
            ),
        ),
    ),
    Recording(
        "automatic-capture-of-a-test-id",
        FOODNETWORK + "Spree_Gateway_StripeSCA/_credit/refunds_the_payment",
        (
            Step(
                "POST",
                INTENTS,
                "amount=1000&currency=aud&payment_method=pm_card_mastercard"
                "&payment_method_types[0]=card&capture_method=automatic&confirm=true",
                facts={
                    "status": "succeeded",
                    "amount_received": 1000,
                    "amount_capturable": 0,
                    "capture_method": "automatic",
                    "latest_charge": CHARGE,
                    "automatic_payment_methods": None,
                    "payment_method": Matching(r"pm_1\w+"),
                },
            ),
        ),
    ),
    Recording(
        "hold-by-automatic-payment-methods",
        SPREE + "capture_payment_intent_requires_capture",
        (
            Step(
                "POST",
                INTENTS,
                "amount=1000&currency=usd&payment_method=pm_card_visa&confirm=true"
                "&capture_method=manual&automatic_payment_methods[enabled]=true"
                "&automatic_payment_methods[allow_redirects]=never",
                facts={
                    "status": "requires_capture",
                    "amount_capturable": 1000,
                    "amount_received": 0,
                    "automatic_payment_methods.allow_redirects": "never",
                    "payment_method_types": ["card", "link"],
                },
                keep={"intent": "id"},
            ),
            Step(
                "POST",
                INTENTS + "/{intent}/capture",
                "amount_to_capture=1000",
                facts={"status": "succeeded", "amount_capturable": 0, "amount_received": 1000},
            ),
        ),
    ),
    Recording(
        "intent-without-a-method",
        SPREE + "capture_payment_intent_unsupported_state",
        (
            Step(
                "POST",
                INTENTS,
                "amount=1000&currency=usd&automatic_payment_methods[enabled]=true"
                "&automatic_payment_methods[allow_redirects]=never",
                facts={"status": "requires_payment_method", "payment_method": None, **NOT_CHARGED},
            ),
        ),
    ),
    Recording(
        "intent-changed-before-it-is-confirmed",
        SPREE + "update_payment_intent_*",
        (
            Step(
                "POST",
                INTENTS,
                "amount=4000&currency=usd&automatic_payment_methods[enabled]=true",
                keep={"intent": "id"},
            ),
            Step(
                "POST",
                INTENTS + "/{intent}",
                "amount=6000&currency=usd",
                facts={"status": "requires_payment_method", "amount": 6000},
            ),
            Step(
                "POST",
                INTENTS + "/{intent}",
                "amount=4000&currency=usd&payment_method=pm_card_visa",
                facts={"status": "requires_confirmation", "amount": 4000, **NOT_CHARGED},
            ),
            Step(
                "POST",
                INTENTS + "/{intent}",
                "amount=4000&currency=PLN",
                facts={"status": "requires_confirmation", "currency": "pln"},
            ),
        ),
    ),
    Recording(
        "saved-card-off-session",
        SPREE + "create_payment_intent_off_session",
        (
            Step("POST", "/v1/customers", "name=John Doe", keep={"customer": "id"}),
            Step(
                "POST",
                "/v1/payment_methods/pm_card_visa/attach",
                "customer={customer}",
                keep={"card": "id"},
            ),
            Step(
                "POST",
                INTENTS,
                "payment_method={card}&off_session=true&confirm=true&amount=100&currency=usd"
                "&customer={customer}&automatic_payment_methods[enabled]=true&transfer_group=R3",
                facts={
                    "status": "succeeded",
                    "amount_received": 100,
                    "customer": "{customer}",
                    "payment_method": "{card}",
                    "transfer_group": "R3",
                    "latest_charge": CHARGE,
                },
            ),
        ),
    ),
)

_ENDINGS = (
    Recording(
        "paid-intent-is-not-canceled",
        PROCESSOR + "_cancel_payment_intent_/when_intent_has_already_succeeded/"
        "fails_with_ChargeProcessorError",
        (
            *paid("4242424242424242", 100, status="succeeded"),
            Step(
                "POST",
                INTENTS + "/{intent}/cancel",
                status=400,
                facts={**UNEXPECTED, "error.payment_intent.status": "succeeded"},
            ),
        ),
    ),
    Recording(
        "intent-that-waits-for-3d-secure-is-canceled-once",
        PROCESSOR + "_cancel_payment_intent_/when_intent_is_pending_SCA/cancels_intent",
        (
            card("4000002500003155"),
            Step(
                "POST",
                INTENTS,
                MANUAL + "&amount=100&currency=usd&confirm=true&off_session=false",
                facts=ASKED,
                keep={"intent": "id"},
            ),
            Step("GET", INTENTS + "/{intent}", facts=ASKED),
            Step(
                "POST",
                INTENTS + "/{intent}/cancel",
                facts={
                    "status": "canceled",
                    "cancellation_reason": None,
                    "payment_method": "{card}",
                    "next_action": None,
                    **NOT_CHARGED,
                },
            ),
            Step(
                "POST",
                INTENTS + "/{intent}/cancel",
                status=400,
                facts={**UNEXPECTED, "error.payment_intent.status": "canceled"},
            ),
        ),
    ),
    Recording(
        "hold-that-was-never-confirmed-is-canceled",
        FOODNETWORK + "Spree_Gateway_StripeSCA/_void/with_a_voidable_payment/void_the_payment",
        (
            Step(
                "POST",
                INTENTS,
                "amount=1000&currency=aud&payment_method=pm_card_mastercard"
                "&payment_method_types[0]=card&capture_method=manual",
                keep={"intent": "id"},
            ),
            Step(
                "POST",
                INTENTS + "/{intent}/cancel",
                facts={"status": "canceled", "cancellation_reason": None, **NOT_CHARGED},
            ),
        ),
    ),
    Recording(
        "bank-declines-an-absent-customer-and-leaves-a-charge",
        PROCESSOR + "_confirm_payment_intent_/when_SCA_was_not_performed/"
        "fails_with_ChargeProcessorCardError",
        (
            card("4000002500003155"),
            Step(
                "POST",
                INTENTS,
                MANUAL + "&amount=100&currency=usd&confirm=true&off_session=true",
                status=402,
                facts={
                    "error.type": "card_error",
                    "error.code": "authentication_required",
                    "error.decline_code": "authentication_required",
                    "error.charge": CHARGE,
                    "error.payment_intent.status": "requires_payment_method",
                    "error.payment_intent.payment_method": None,
                    "error.payment_intent.latest_charge": CHARGE,
                    "error.payment_intent.next_action": None,
                    "error.payment_intent.last_payment_error.code": "authentication_required",
                },
            ),
        ),
    ),
    Recording(
        "blocked-as-fraud",
        PROCESSOR + "_create_payment_intent_or_charge_/card_error/"
        "card_declined_due_to_Stripe_expecting_it_s_fraudulent/raises_an_error",
        (
            card("4100000000000019"),
            Step(
                "POST",
                INTENTS,
                MANUAL + "&amount=100&currency=usd&confirm=true&off_session=true",
                status=402,
                facts={
                    "error.code": "card_declined",
                    "error.decline_code": "fraudulent",
                    "error.charge": CHARGE,
                    "error.payment_intent.status": "requires_payment_method",
                },
            ),
        ),
    ),
    Recording(
        "failed-charge",
        GUMROAD + "Purchase_SyncStatusWithChargeProcessorService/"
        "does_not_mark_purchase_as_failed_if_mark_as_failed_flag_is_not_set",
        (
            card("4000000000000002"),
            Step(
                "POST",
                INTENTS,
                MANUAL + "&amount=100&currency=usd&confirm=true",
                status=402,
                keep={"charge": "error.charge"},
            ),
            Step(
                "GET",
                "/v1/charges/{charge}",
                facts={
                    "status": "failed",
                    "paid": False,
                    "captured": False,
                    "amount_captured": 0,
                    "balance_transaction": None,
                    "failure_code": "card_declined",
                    "failure_message": "Your card was declined.",
                    "outcome.network_status": "declined_by_network",
                    "outcome.reason": "generic_decline",
                    "outcome.type": "issuer_declined",
                    "payment_method_details.card.authorization_code": None,
                },
            ),
        ),
    ),
)

TABLE = (*_PAYMENTS, *_ENDINGS)
