"""What a definite refusal of the payment provider is, and whether waiting can help.

A refusal is an answer, not a failure: the same request gets the same answer until somebody mends
its cause. So it is not repeated by the clock, except for the few causes that pass by themselves.
Source: Stripe, "Error codes".
"""

import msgspec

# Funds arrive, and locks are released; everything else needs a person.
PASSING = frozenset({"balance_insufficient", "insufficient_funds", "lock_timeout"})
UNNAMED = "refused"  # of a refusal to which Stripe gives no code


class Refusal(msgspec.Struct, frozen=True):
    """Why Stripe refused a request, in its own terms: for administrators only.

    `param` is the parameter that it objects to. `decline_code` is the bank's reason.
    """

    code: str
    message: str
    param: str | None = None
    decline_code: str | None = None

    @property
    def reason(self) -> str:
        """The bank's reason, or Stripe's code."""
        return self.decline_code or self.code

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later without anybody's help."""
        return self.code in PASSING
