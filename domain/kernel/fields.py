"""Descriptions of fields that go over the wire, and the types that many records share.

A description is for a reader of the API: it says what the field means, and its unit.
"""

from typing import Annotated, Any

from msgspec import Meta

EXPECTED = "expected"


def about(text: str) -> Meta:
    """The description of a field."""
    return Meta(description=text)


def expected(text: str, **limits: Any) -> Meta:
    """The limits of a field of a command. Refusals ask for what the text says: "give a code of six
    digits." It also describes the field, unless the field itself has another description."""
    return Meta(description=text, extra={EXPECTED: text}, **limits)


UserId = Annotated[str, about("The id of the user.")]
CustomerId = Annotated[str, about("The id of the customer.")]
ContractorId = Annotated[str, about("The id of the contractor.")]
CustomerName = Annotated[str, about("The customer's name; empty if it is not known.")]
ContractorName = Annotated[str, about("The contractor's name; empty if it is not known.")]
JobId = Annotated[str, about("The id of the job.")]
JobTitle = Annotated[str, about("The title of the job.")]
OfferId = Annotated[str, about("The id of the offer.")]
PaymentId = Annotated[str, about("The id of the payment.")]
ConversationId = Annotated[str, about("The id of the conversation.")]
MinorUnits = Annotated[int, about("In minor units of `currency`.")]
Currency = Annotated[str, about("The currency, ISO 4217 in upper case, such as USD.")]
