"""A disagreement that the audit or a reconciliation reports."""

from typing import Any

import msgspec


class Difference(msgspec.Struct, frozen=True):
    """Two values of `subject` that should be equal.

    In a reconciliation `expected` is from our journal and `found` is from Stripe. In an audit
    `found` is what is stored here, and `expected` what the journal, the holdings or Stripe say.
    """

    what: str
    subject: str
    expected: Any
    found: Any
