"""What administrators wrote to the bank about a chargeback, kept so that it can be read again."""

from typing import Annotated

from domain.kernel.fields import about
from domain.kernel.record import Index, Record


class ChargebackEvidence(Record, frozen=True):
    """One version of the evidence: a draft at Stripe, or what the bank got."""

    COLLECTION = "chargeback_evidence"
    PREFIX = "evd"
    INDEXES = (Index((("chargeback_id", 1), ("_id", -1))),)
    TEXTS = (
        "product_description",
        "service_date",
        "refund_refusal_explanation",
        "uncategorized_text",
    )
    ENCRYPTED = frozenset(TEXTS)
    UNLOGGED = frozenset(TEXTS)  # the command's fields are in the log

    chargeback_id: Annotated[str, about("The id of the chargeback.")]
    by: Annotated[str, about("The id of the administrator who wrote it.")]
    submit: Annotated[bool, about("Whether the bank got it; false for a draft.")]
    product_description: Annotated[str, about("What was agreed.")] = ""
    service_date: Annotated[str, about("When the work was done.")] = ""
    refund_refusal_explanation: Annotated[str, about("Why it is not refunded.")] = ""
    uncategorized_text: Annotated[str, about("Anything else.")] = ""
    refusal: Annotated[
        str | None, about("Why Stripe refused it, in words; null if it did not.")
    ] = None
