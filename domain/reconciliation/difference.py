"""A disagreement that the audit or a reconciliation reports."""

from typing import Annotated, Any

import msgspec

from domain.kernel.fields import about


class Difference(msgspec.Struct, frozen=True):
    """Two values of `subject` that should be equal.

    In a reconciliation `expected` is from our journal and `found` is from Stripe. In an audit
    `found` is what is stored here, and `expected` what the journal, the holdings or Stripe say.
    """

    what: Annotated[str, about("What was compared.")]
    subject: Annotated[str, about("The id of what differs.")]
    expected: Annotated[Any, about("What our journal says.")]
    found: Annotated[Any, about("What Stripe says.")]
