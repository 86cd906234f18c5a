"""Setup intents, and cards that are attached to customers."""

from __future__ import annotations

from .replay import CHARGE, FOODNETWORK, GUMROAD, PAY, Recording, Step, card

INTENTS, SETUPS = "/v1/payment_intents", "/v1/setup_intents"
PROCESSOR = GUMROAD + "StripeChargeProcessor/"
MANUAL = "payment_method={card}&payment_method_types[0]=card&confirmation_method=manual"

_SETUPS = (
    Recording(
        "setup-succeeds-and-is-not-canceled",
        PROCESSOR + "_cancel_setup_intent_/when_intent_has_already_succeeded/"
        "fails_with_ChargeProcessorError",
        (
            card("4242424242424242"),
            Step(
                "POST",
                SETUPS,
                "confirm=true&payment_method_types[0]=card&usage=off_session&payment_method={card}",
                facts={"status": "succeeded", "payment_method": "{card}", "usage": "off_session"},
                keep={"setup": "id"},
            ),
            Step(
                "POST",
                SETUPS + "/{setup}/cancel",
                status=400,
                facts={
                    "error.code": "setup_intent_unexpected_state",
                    "error.setup_intent.id": "{setup}",
                    "error.setup_intent.status": "succeeded",
                },
            ),
        ),
    ),
    Recording(
        "setup-that-waits-for-3d-secure-is-canceled",
        PROCESSOR + "_cancel_setup_intent_/when_intent_is_pending_SCA/cancels_intent",
        (
            card("4000002500003155"),
            Step(
                "POST",
                SETUPS,
                "confirm=true&payment_method_types[0]=card&usage=off_session&payment_method={card}",
                facts={"status": "requires_action", "next_action.type": "use_stripe_sdk"},
                keep={"setup": "id"},
            ),
            Step(
                "POST",
                SETUPS + "/{setup}/cancel",
                facts={
                    "status": "canceled",
                    "payment_method": "{card}",
                    "cancellation_reason": None,
                    "next_action": None,
                },
            ),
        ),
    ),
    Recording(
        "setup-without-a-method",
        GUMROAD + "StripeSetupIntent/when_Stripe_payment_intent_is_not_successful/"
        "does_not_require_action",
        (
            Step("POST", "/v1/customers", "name=A", keep={"customer": "id"}),
            Step(
                "POST",
                SETUPS,
                "customer={customer}&payment_method_types[0]=card&confirm=false&usage=off_session",
                facts={"status": "requires_payment_method", "payment_method": None},
            ),
        ),
    ),
)

_METHODS = (
    Recording(
        "card-is-checked-when-it-is-attached",
        FOODNETWORK + "Stripe_CreditCardCloner/_find_or_clone/"
        "when_called_with_a_valid_customer_and_payment_method/"
        "clones_both_the_payment_method_and_the_customer",
        (
            Step(
                "POST",
                "/v1/payment_methods",
                "type=card&card[number]=4242424242424242&card[exp_month]=8&card[exp_year]=2027"
                "&card[cvc]=314",
                facts={
                    "type": "card",
                    "card.brand": "visa",
                    "card.last4": "4242",
                    "card.funding": "credit",
                    "card.exp_month": 8,
                    "card.checks.cvc_check": "unchecked",
                    "customer": None,
                },
                keep={"card": "id"},
            ),
            Step("POST", "/v1/customers", "name=Apple Customer", keep={"customer": "id"}),
            Step(
                "POST",
                "/v1/payment_methods/{card}/attach",
                "customer={customer}",
                facts={"customer": "{customer}", "card.checks.cvc_check": "pass"},
            ),
        ),
    ),
    Recording(
        "card-of-one-customer-is-not-attached-to-another",
        FOODNETWORK + "Stripe_ProfileStorer/create_customer_from_token/when_request_fails/"
        "raises_an_error",
        (
            card("4242424242424242"),
            Step("POST", "/v1/customers", "name=One", keep={"one": "id"}),
            Step("POST", "/v1/customers", "name=Other", keep={"other": "id"}),
            Step("POST", "/v1/payment_methods/{card}/attach", "customer={one}"),
            Step(
                "POST",
                "/v1/payment_methods/{card}/attach",
                "customer={other}",
                status=400,
                facts={"error.type": "invalid_request_error", "error.code": None},
            ),
        ),
    ),
    Recording(
        "declined-card-is-not-attached",
        PAY + "test_handles_stripe_card_declined",
        (
            Step("POST", "/v1/customers", "email=johnny@shop.test", keep={"customer": "id"}),
            Step(
                "POST",
                "/v1/payment_methods/pm_card_chargeDeclined/attach",
                "customer={customer}",
                status=402,
                facts={
                    "error.type": "card_error",
                    "error.code": "card_declined",
                    "error.decline_code": "generic_decline",
                    "error.param": "",
                },
            ),
        ),
    ),
    Recording(
        "declined-card-of-a-new-customer",
        GUMROAD + "CreditCard/after_creating_a_credit_card/errors/card_declined/"
        "does_not_throw_an_exception",
        (
            card("4000000000000002"),
            Step(
                "POST",
                "/v1/customers",
                "payment_method={card}",
                status=402,
                facts={"error.code": "card_declined", "error.decline_code": "generic_decline"},
            ),
        ),
    ),
    Recording(
        "expired-card-of-a-new-customer",
        GUMROAD + "PurchasesController/within_consumer_area/POST_charge_preorder/"
        "fails_charging_the_different_cards",
        (
            card("4000000000000069"),
            Step(
                "POST",
                "/v1/customers",
                "payment_method={card}",
                status=402,
                facts={"error.code": "expired_card", "error.param": "exp_month"},
            ),
        ),
    ),
    Recording(
        "wrong-cvc-of-a-new-customer",
        GUMROAD + "Preorder/authorize_and_charge_/"
        "marks_the_authorization_purchase_and_preorder_as_invalid_because_of_incorrect_cvc",
        (
            card("4000000000000101"),
            Step(
                "POST",
                "/v1/customers",
                "payment_method={card}",
                status=402,
                facts={"error.code": "incorrect_cvc", "error.param": "cvc"},
            ),
        ),
    ),
    Recording(
        "wrong-number",
        GUMROAD + "Purchase_CreateService/for_a_preorder_purchase/with_invalid_params/"
        "creates_the_preorder_and_its_auth_charge_with_failed_states_if_bad_card_number",
        (
            Step(
                "POST",
                "/v1/payment_methods",
                "type=card&card[number]=4242424242424241&card[exp_month]=12&card[exp_year]=2034",
                status=402,
                facts={
                    "error.type": "card_error",
                    "error.code": "incorrect_number",
                    "error.param": "number",
                },
            ),
        ),
    ),
    Recording(
        "declined-card-without-a-customer-is-not-used-again",
        GUMROAD + "OrdersController/POST_create/multiple_purchases/"
        "prevents_user_from_buying_links_after_3_fails/does_not_block_multiple_fails_with_same_card",
        (
            card("4000000000000002"),
            Step("POST", INTENTS, MANUAL + "&amount=1500&currency=usd", keep={"intent": "id"}),
            Step(
                "POST",
                INTENTS + "/{intent}/confirm",
                status=402,
                facts={"error.code": "card_declined", "error.charge": CHARGE},
            ),
            Step(
                "POST",
                INTENTS,
                MANUAL + "&amount=1500&currency=usd",
                status=400,
                facts={"error.type": "invalid_request_error", "error.code": None},
            ),
        ),
    ),
    Recording(
        "saved-card-that-is-declined-when-charged",
        GUMROAD + "PurchasesController/within_consumer_area/POST_charge_preorder/"
        "fails_charging_the_different_cards",
        (
            card("4000000000000341"),
            Step(
                "POST",
                "/v1/customers",
                "payment_method={card}",
                keep={"customer": "id"},
                facts={"object": "customer"},
            ),
            Step(
                "POST",
                SETUPS,
                "payment_method_types[0]=card&usage=off_session&customer={customer}"
                "&payment_method={card}",
                facts={"status": "requires_confirmation", "payment_method": "{card}"},
                keep={"setup": "id"},
            ),
            Step("POST", SETUPS + "/{setup}/confirm", facts={"status": "succeeded"}),
            *(
                Step(
                    "POST",
                    INTENTS,
                    MANUAL + "&amount=600&currency=usd&confirm=true&off_session=true"
                    "&customer={customer}",
                    status=402,
                    facts={"error.code": "card_declined", "error.charge": CHARGE},
                )
                for _ in range(2)
            ),
        ),
    ),
    Recording(
        "wrong-postal-code",
        GUMROAD + "Purchase_CreateService/zip_code_verification/without_a_saved_card/"
        "creates_a_failed_purchase_record_if_the_zip_code_is_invalid",
        (
            card("4000000000000036"),
            Step(
                "POST",
                INTENTS,
                MANUAL + "&amount=600&currency=usd&confirm=true",
                status=402,
                facts={
                    "error.code": "incorrect_zip",
                    "error.decline_code": None,
                    "error.param": "address_zip",
                    "error.charge": CHARGE,
                    "error.payment_intent.status": "requires_payment_method",
                },
            ),
        ),
    ),
)

TABLE = (*_SETUPS, *_METHODS)
