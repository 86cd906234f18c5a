"""Transfers to connected accounts, their reversals, and payouts to banks."""

from __future__ import annotations

from .replay import ENTRY, GUMROAD, MIDNIGHT, PAYMENT, REVERSAL, Recording, Step, paid

TRANSFERS, PAYOUTS = "/v1/transfers", "/v1/payouts"
PAYS = GUMROAD + "StripePayoutProcessor/perform_payment/"
INTERNAL = (
    GUMROAD + "StripeTransferInternallyToCreator/transfer_funds_to_account/"
    "transfer_funds_to_account/"
)
FAILS = (
    PAYS + "the_payment_includes_funds_not_held_by_stripe_which_sum_to_a_positive_amount/"
    "the_external_transfer_fails/hitting_stripe/marks_the_payment_as_failed"
)
DAY = 86_400
# A card whose money is available at once.
FUNDS = paid("4000000000000077", 60_000, status="succeeded")


def _transfer(amount: int, more: str = "") -> Step:
    return Step(
        "POST",
        TRANSFERS,
        f"destination={{seller}}&currency=usd&amount={amount}&expand[0]=balance_transaction{more}",
        facts={
            "object": "transfer",
            "amount": amount,
            "amount_reversed": 0,
            "reversed": False,
            "destination": "{seller}",
            "destination_payment": PAYMENT,
            "source_transaction": None,
            "source_type": "card",
            "transfer_group": None,
            "reversals.data": [],
            "balance_transaction.amount": -amount,
            "balance_transaction.net": -amount,
            "balance_transaction.fee": 0,
            "balance_transaction.type": "transfer",
            "balance_transaction.reporting_category": "transfer",
            "balance_transaction.status": "available",
        },
        keep={"transfer": "id", "payment": "destination_payment"},
    )


def _payment(amount: int, *, refunded: int = 0) -> Step:
    """The payment that a transfer is on its destination's account."""
    return Step(
        "GET",
        "/v1/charges/{payment}?expand[]=balance_transaction",
        facts={
            "object": "charge",
            "status": "succeeded",
            "paid": True,
            "amount": amount,
            "amount_captured": amount,
            "amount_refunded": refunded,
            "refunded": refunded == amount,
            "disputed": False,
            "balance_transaction.amount": amount,
            "balance_transaction.fee": 0,
            "balance_transaction.type": "payment",
            "balance_transaction.reporting_category": "charge",
            "balance_transaction.source": "{payment}",
        },
        account=True,
    )


def _reversal(amount: int, form: str = "") -> Step:
    return Step(
        "POST",
        TRANSFERS + "/{transfer}/reversals",
        form,
        facts={
            "object": "transfer_reversal",
            "amount": amount,
            "currency": "usd",
            "transfer": "{transfer}",
            "balance_transaction": ENTRY,
            "source_refund": None,
        },
        keep={"reversal": "id", "payment_refund": "destination_payment_refund"},
    )


def _payment_refund(amount: int) -> tuple[Step, ...]:
    """What a reversal is on the destination's account."""
    return (
        Step(
            "GET",
            "/v1/refunds/{payment_refund}",
            facts={
                "amount": amount,
                "status": "succeeded",
                "charge": "{payment}",
                "payment_intent": None,
                "source_transfer_reversal": "{reversal}",
                "transfer_reversal": REVERSAL,
            },
            keep={"entry": "balance_transaction"},
            account=True,
        ),
        Step(
            "GET",
            "/v1/balance_transactions/{entry}",
            facts={
                "amount": -amount,
                "net": -amount,
                "fee": 0,
                "type": "payment_refund",
                "reporting_category": "refund",
                "description": "REFUND FOR PAYMENT",
                "source": "{payment_refund}",
                "status": "available",
            },
            account=True,
        ),
    )


def _of_pending_charge(charged: int, amount: int) -> tuple[Step, ...]:
    """A transfer of the money of a charge, before that is available."""
    form = (
        "destination={seller}&currency=usd&source_transaction={charge}"
        f"&amount={amount}&expand[0]=balance_transaction"
    )
    of_payment = {"amount": amount, "type": "payment", "status": "pending"}
    return (
        *paid("4242424242424242", charged),
        Step(
            "POST",
            TRANSFERS,
            form,
            keep={
                "transfer": "id",
                "payment": "destination_payment",
                "due": "balance_transaction.available_on",
            },
        ),
        Step(
            "GET",
            "/v1/charges/{payment}?expand[]=balance_transaction",
            facts={
                "amount": amount,
                "amount_refunded": 0,
                **{f"balance_transaction.{name}": value for name, value in of_payment.items()},
                "balance_transaction.available_on": "{due}",
            },
            account=True,
        ),
    )


def _payout(amount: int) -> Step:
    return Step(
        "POST",
        PAYOUTS,
        f"amount={amount}&currency=usd&statement_descriptor=Shop&description=G1&method=standard",
        facts={
            "object": "payout",
            "status": "pending",
            "amount": amount,
            "automatic": False,
            "method": "standard",
            "type": "bank_account",
            "source_type": "card",
            "arrival_date": MIDNIGHT,
            "balance_transaction": ENTRY,
            "failure_code": None,
            "failure_balance_transaction": None,
            "original_payout": None,
            "reversed_by": None,
            "reconciliation_status": "not_applicable",
            "statement_descriptor": "Shop",
            "trace_id.status": "pending",
            "trace_id.value": None,
        },
        keep={"payout": "id"},
        account=True,
    )


TABLE = (
    Recording(
        "transfer-from-the-balance",
        INTERNAL + "when_no_related_charge_given/"
        "creates_a_transfer_at_stripe_destined_for_the_connected_account",
        (*FUNDS, _transfer(50_000, "&description=message_why"), _payment(50_000)),
        seller=True,
    ),
    Recording(
        "transfer-with-metadata",
        INTERNAL + "when_metadata_is_given/creates_a_transfer_with_the_given_metadata",
        (
            *FUNDS,
            _transfer(1_000, "&metadata[metadata_2]=1234"),
            Step(
                "GET",
                TRANSFERS + "/{transfer}?expand[]=balance_transaction",
                facts={"metadata.metadata_2": "1234", "balance_transaction.description": None},
            ),
        ),
        seller=True,
    ),
    Recording(
        "described-transfer",
        PAYS + "the_payment_includes_funds_not_held_by_stripe_which_sum_to_a_positive_amount/"
        "creates_an_internal_transfer_and_a_normal_transfer",
        (
            *FUNDS,
            _transfer(200, "&description=Funds held"),
            Step(
                "GET",
                TRANSFERS + "/{transfer}?expand[]=balance_transaction",
                facts={
                    "description": "Funds held",
                    "balance_transaction.description": "Funds held",
                    "balance_transaction.source": "{transfer}",
                },
            ),
            _payout(200),
        ),
        seller=True,
    ),
    Recording(
        "transfer-reversed-in-whole",
        FAILS,
        (
            *FUNDS,
            _transfer(200),
            _payment(200),
            _reversal(200),
            _payment(200, refunded=200),
            *_payment_refund(200),
            Step(
                "GET",
                TRANSFERS + "/{transfer}",
                facts={
                    "amount": 200,
                    "amount_reversed": 200,
                    "reversed": True,
                    "reversals.data.0.id": "{reversal}",
                    "reversals.data.0.amount": 200,
                },
            ),
        ),
        seller=True,
    ),
    Recording(
        "transfer-reversed-in-part",
        GUMROAD + "StripeChargeProcessor/_debit_stripe_account_for_refund_fee/"
        "reverses_an_internal_transfer_made_to_the_stripe_connect_account_if_present",
        (
            *FUNDS,
            _transfer(1_000),
            _reversal(33, "amount=33"),
            *_payment_refund(33),
            _payment(1_000, refunded=33),
        ),
        seller=True,
    ),
    Recording(
        "pending-transfer-reversed-in-part",
        GUMROAD + "PurchaseRefunds/refund_purchase/partial_refund_after_vat_refund/"
        "reverses_the_correct_amount_from_the_transfer_in_case_of_partial_refund_on_a_stripe_"
        "purchase_with_vat_already_refunded",
        (
            *_of_pending_charge(1_200, 880),
            _reversal(73, "amount=73"),
            Step(
                "GET",
                "/v1/refunds/{payment_refund}",
                facts={"amount": 73, "status": "succeeded", "charge": "{payment}"},
                keep={"entry": "balance_transaction"},
                account=True,
            ),
            Step(
                "GET",
                "/v1/balance_transactions/{entry}",
                facts={"type": "payment_refund", "status": "pending", "available_on": "{due}"},
                account=True,
            ),
        ),
        seller=True,
        pending=DAY,
    ),
    Recording(
        "pending-transfer-reversed-in-whole",
        GUMROAD + "StripeChargeProcessor/_handle_stripe_event/event_object_dispute/"
        "event_dispute_funds_reinstated/for_a_charge_on_a_managed_account_without_on_behalf_of_"
        "and_application_fee_amount_parameters/tells_the_charge_processor_that_the_dispute_was_won",
        (
            *_of_pending_charge(1_000, 791),
            Step(
                "POST",
                TRANSFERS + "/{transfer}/reversals",
                "expand[0]=balance_transaction",
                facts={
                    "object": "transfer_reversal",
                    "amount": 791,
                    "balance_transaction.amount": 791,
                    "balance_transaction.type": "transfer_refund",
                    "balance_transaction.status": "pending",
                    "balance_transaction.available_on": "{due}",
                },
            ),
            Step(
                "GET",
                TRANSFERS + "/{transfer}",
                facts={"amount": 791, "amount_reversed": 791, "reversed": True},
            ),
        ),
        seller=True,
        pending=DAY,
    ),
    Recording(
        "payout-of-a-connected-account",
        PAYS + "creates_a_transfer_at_stripe",
        (*FUNDS, _transfer(50_000), _payout(50_000)),
        seller=True,
    ),
    Recording(
        "payout-beyond-the-balance",
        PAYS + "transfer_fails_due_to_an_invalid_request_amount_over_balance_of_creator_/"
        "returns_an_error",
        (
            *FUNDS,
            _transfer(50_000),
            Step(
                "POST",
                PAYOUTS,
                "amount=500000&currency=usd&method=standard",
                status=400,
                facts={
                    "error.type": "invalid_request_error",
                    "error.code": "balance_insufficient",
                    "error.param": None,
                    "error.doc_url": "https://stripe.com/docs/error-codes/balance-insufficient",
                },
                account=True,
            ),
        ),
        seller=True,
    ),
)
