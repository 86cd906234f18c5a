"""Errors of requests that name nothing, or ask for what cannot be."""

from __future__ import annotations

from .replay import FOODNETWORK, GUMROAD, PAY, Recording, Step

PROCESSOR = GUMROAD + "StripeChargeProcessor/"


def _missing(name: str, source: str, path: str, param: str, kind: str) -> Recording:
    facts = {
        "error.type": "invalid_request_error",
        "error.code": "resource_missing",
        "error.param": param,
        "error.message": f"No such {kind}: 'does-not-exist'",
        "error.doc_url": "https://stripe.com/docs/error-codes/resource-missing",
    }
    return Recording(name, source, (Step("GET", path, status=404, facts=facts),))


def _too_small(name: str, source: str, amount: int) -> Recording:
    facts = {
        "error.type": "invalid_request_error",
        "error.code": "parameter_invalid_integer",
        "error.param": "amount",
    }
    form = f"amount={amount}&currency=usd&confirm=true"
    step = Step("POST", "/v1/payment_intents", form, status=400, facts=facts)
    return Recording(name, source, (step,))


TABLE = (
    _missing(
        "no-such-charge",
        PROCESSOR + "_get_charge/with_an_invalid_charge_id/raises_error",
        "/v1/charges/does-not-exist",
        "id",
        "charge",
    ),
    _missing(
        "no-such-intent",
        PROCESSOR
        + "_get_charge_intent/when_non-existing_charge_intent_ID_is_passed/raises_an_error",
        "/v1/payment_intents/does-not-exist",
        "intent",
        "payment_intent",
    ),
    _missing(
        "no-such-setup",
        PROCESSOR + "_get_setup_intent/when_non-existing_setup_intent_ID_is_passed/raises_an_error",
        "/v1/setup_intents/does-not-exist",
        "intent",
        "setupintent",
    ),
    _missing(
        "no-such-customer",
        FOODNETWORK + "Stripe_CreditCardRemover/_remove/Stripe_customer_does_not_exist/"
        "raises_an_error",
        "/v1/customers/does-not-exist",
        "id",
        "customer",
    ),
    Recording(
        "no-such-method",
        PAY + "test_handles_exception_when_creating_a_customer",
        (
            Step("POST", "/v1/customers", "name=A", keep={"customer": "id"}),
            Step(
                "POST",
                "/v1/payment_methods/invalid/attach",
                "customer={customer}",
                status=404,
                facts={
                    "error.code": "resource_missing",
                    "error.param": "payment_method",
                    "error.message": "No such PaymentMethod: 'invalid'",
                },
            ),
        ),
    ),
    Recording(
        "customer-of-another-account",
        PAY + "test_connect_customer_is_not_on_parent_account",
        (
            Step("POST", "/v1/customers", "email=gob@shop.test", keep={"c": "id"}, account=True),
            Step(
                "GET",
                "/v1/customers/{c}",
                status=404,
                facts={"error.code": "resource_missing", "error.param": "id"},
            ),
        ),
        seller=True,
    ),
    Recording(
        "account-without-access",
        FOODNETWORK + "Admin_StripeAccountsController/_status/"
        "when_I_manage_the_specified_enterprise/when_Stripe_is_enabled/"
        "when_a_stripe_account_is_associated_with_the_specified_enterprise/"
        "but_access_has_been_revoked_or_does_not_exist_on_stripe_s_servers/"
        "returns_with_a_status_of_access_revoked_",
        (
            Step(
                "GET",
                "/v1/accounts/acct_fake_account",
                status=403,
                facts={
                    "error.type": "invalid_request_error",
                    "error.code": "account_invalid",
                    "error.doc_url": "https://stripe.com/docs/error-codes/account-invalid",
                },
            ),
        ),
    ),
    Recording(
        "deleted-account",
        FOODNETWORK + "Admin_StripeAccountsController/_destroy/"
        "when_the_specified_stripe_account_exists/"
        "when_I_don_t_manage_the_enterprise_linked_to_the_stripe_account/redirects_to_unauthorized",
        (
            Step(
                "DELETE",
                "/v1/accounts/{seller}",
                facts={"id": "{seller}", "object": "account", "deleted": True},
            ),
        ),
        seller=True,
    ),
    Recording(
        "deleted-customer",
        FOODNETWORK + "Stripe_CreditCardRemover/_remove/Stripe_customer_exists/and_is_not_deleted/"
        "deletes_the_credit_card_clone_and_the_customer",
        (
            Step("POST", "/v1/customers", "name=Apple Customer", keep={"customer": "id"}),
            Step(
                "POST",
                "/v1/payment_methods/pm_card_visa/attach",
                "customer={customer}",
                facts={"customer": "{customer}", "card.last4": "4242"},
            ),
            Step(
                "DELETE",
                "/v1/customers/{customer}",
                facts={"id": "{customer}", "object": "customer", "deleted": True},
            ),
        ),
    ),
    _too_small(
        "nothing-to-pay",
        PAY + "test_re-raised_stripe_exceptions_keep_the_same_message",  # 2026-03-25.dahlia
        0,
    ),
)
