"""What administrators wrote to the bank about a chargeback, kept so that it can be read again."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta as Limits

from domain.kernel.bounds import Bounded
from domain.kernel.fields import about
from domain.kernel.record import Index, Record
from domain.operations.command import Id


class EvidenceField(StrEnum):
    """What a file shows; Stripe takes one file for each."""

    RECEIPT = "receipt"
    SERVICE_DOCUMENTATION = "service_documentation"
    CUSTOMER_COMMUNICATION = "customer_communication"
    UNCATEGORIZED_FILE = "uncategorized_file"


class EvidenceFile(msgspec.Struct, frozen=True):
    """A file that a side gave in the dispute, as evidence for the bank."""

    field: Annotated[
        EvidenceField,
        about(
            "What it shows: receipt, service_documentation, customer_communication or "
            "uncategorized_file; one file for each."
        ),
    ]
    file_id: Annotated[Id, about("The id of the file.")]


EvidenceFiles = Annotated[
    tuple[EvidenceFile, ...],
    Limits(max_length=len(EvidenceField)),
    Bounded(len(EvidenceField)),
    about("Files that the sides gave in the dispute of the job."),
]


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
    files: EvidenceFiles = ()
    refusal: Annotated[
        str | None, about("Why Stripe refused it, in words; null if it did not.")
    ] = None
