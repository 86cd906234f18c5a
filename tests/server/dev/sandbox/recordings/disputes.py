"""Disputes: the balance line that opens one, evidence, and both outcomes."""

from __future__ import annotations

from .replay import END_OF_DAY, ENTRY, GUMROAD, Recording, Step, paid

DISPUTES = "/v1/disputes"
EVENTS = GUMROAD + "StripeChargeProcessor/_handle_stripe_event/event_object_dispute/"
FIGHT = GUMROAD + "StripeChargeProcessor/_fight_chargeback/"
WITHDRAWN = {
    "balance_transactions.0.id": ENTRY,
    "balance_transactions.0.amount": -1000,
    "balance_transactions.0.fee": 1500,
    "balance_transactions.0.net": -2500,
    "balance_transactions.0.type": "adjustment",
    "balance_transactions.0.reporting_category": "dispute",
    "balance_transactions.0.source": "{dispute}",
}
OPEN = {
    "object": "dispute",
    "status": "needs_response",
    "reason": "fraudulent",
    "amount": 1000,
    "charge": "{charge}",
    "payment_intent": "{intent}",
    "is_charge_refundable": False,
    "evidence_details.due_by": END_OF_DAY,
    "evidence_details.has_evidence": False,
    "evidence_details.past_due": False,
    "evidence_details.submission_count": 0,
    "payment_method_details.type": "card",
    "payment_method_details.card.brand": "visa",
    **WITHDRAWN,
    "balance_transactions.1": None,
}
ANSWERED = {
    "status": "under_review",
    "is_charge_refundable": False,
    "evidence_details.has_evidence": True,
    "evidence_details.submission_count": 1,
    "evidence_details.due_by": END_OF_DAY,
    **WITHDRAWN,
    "balance_transactions.1": None,
}
DISPUTED = {
    "disputed": True,
    "status": "succeeded",
    "paid": True,
    "refunded": False,
    "amount_refunded": 0,
    "amount_captured": 1000,
}


def _opened() -> tuple[Step, ...]:
    """Pay with the card whose charges are disputed: the intent succeeds all the same."""
    return (
        *paid("4000000000000259", 1000, status="succeeded", amount_received=1000),
        Step("GET", "/v1/charges/{charge}", facts=DISPUTED),
        Step("GET", DISPUTES + "?charge={charge}", keep={"dispute": "data.0.id"}),
        Step("GET", DISPUTES + "/{dispute}", facts=OPEN),
    )


def _evidence(form: str) -> Step:
    return Step("POST", DISPUTES + "/{dispute}", form, facts=ANSWERED)


TABLE = (
    Recording(
        "disputed-charge",
        EVENTS + "event_dispute_created/for_a_charge_on_Gumroads_account/"
        "tells_the_charge_processor_that_a_dispute_was_created",
        _opened(),
    ),
    Recording(
        "lost-by-its-evidence",
        EVENTS + "event_dispute_closed/NOT_in_our_favor/status_lost_/"
        "for_a_charge_on_Gumroads_account/tells_the_charge_processor_the_dispute_was_lost",
        (
            *_opened(),
            _evidence("evidence[uncategorized_text]=losing_evidence"),
            Step(
                "GET",
                DISPUTES + "/{dispute}",
                facts={
                    "status": "lost",
                    "is_charge_refundable": False,
                    "evidence.uncategorized_text": "losing_evidence",
                    **WITHDRAWN,
                    "balance_transactions.1": None,
                },
            ),
            Step("GET", "/v1/charges/{charge}", facts=DISPUTED),
        ),
    ),
    Recording(
        "won-by-its-evidence",
        EVENTS + "event_dispute_closed/in_our_favor/status_warning_closed_/"
        "for_a_charge_on_Gumroads_account/tells_the_charge_processor_that_hte_dispute_was_won",
        (
            *_opened(),
            _evidence("evidence[uncategorized_text]=winning_evidence"),
            Step(
                "GET",
                DISPUTES + "/{dispute}",
                facts={
                    "status": "won",
                    "is_charge_refundable": True,
                    **WITHDRAWN,
                    "balance_transactions.1.amount": 1000,
                    "balance_transactions.1.type": "adjustment",
                    "balance_transactions.1.reporting_category": "dispute_reversal",
                    "balance_transactions.1.source": "{dispute}",
                    "balance_transactions.2": None,
                },
            ),
            Step("GET", "/v1/charges/{charge}", facts=DISPUTED),
        ),
    ),
    Recording(
        "evidence-in-words-waits-for-the-bank",
        FIGHT + "calls_update_dispute_on_the_stripe_charge_with_the_evidence_as_a_parameter",
        (
            *_opened(),
            _evidence(
                "evidence[customer_name]=John Example&evidence[service_date]=October 30, 2023"
                "&evidence[shipping_carrier]=UPS&evidence[cancellation_rebuttal]=A text"
            ),
            Step(
                "GET",
                DISPUTES + "/{dispute}",
                facts={
                    **ANSWERED,
                    "evidence.customer_name": "John Example",
                    "evidence.shipping_carrier": "UPS",
                    "evidence.uncategorized_text": None,
                },
            ),
        ),
    ),
)
