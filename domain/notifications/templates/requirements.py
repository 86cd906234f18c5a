"""What Stripe wants to know of a contractor, in words. Source: Stripe, "Required verification
information"."""

import re
from collections.abc import Sequence
from datetime import datetime

from domain.notifications.text import date_text

REJECTED = "rejected."  # Stripe's reasons for an account that it never pays out again
# By parts of Stripe's codes, the first that fits.
WORDS = (
    (re.compile(r"external_account"), "your bank account"),
    (re.compile(r"tos_acceptance|terms_of_service"), "that you agree to Stripe's terms"),
    (
        re.compile(r"verification\.(additional_)?document|proof_of|documents"),
        "a picture of an identity document",
    ),
    (re.compile(r"first_name|last_name|full_name|given_name|surname"), "your name"),
    (re.compile(r"dob|date_of_birth"), "your date of birth"),
    (re.compile(r"address"), "your address"),
    (re.compile(r"id_number|ssn_last_4"), "your tax or identity number"),
    (re.compile(r"phone"), "your phone number"),
    (re.compile(r"email"), "your e-mail address"),
    (re.compile(r"business_profile|business_type|company"), "what you do"),
)
OTHER = "more about you"


def is_rejected(disabled_reason: str | None) -> bool:
    return (disabled_reason or "").startswith(REJECTED)


def wanted(codes: Sequence[str]) -> str:
    """The things that these codes ask for, each once, as a part of a sentence."""
    words = [next((text for part, text in WORDS if part.search(code)), OTHER) for code in codes]
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} and {last}" if others else last


def asks(codes: Sequence[str], past_due: Sequence[str], deadline: datetime | None) -> str:
    """What is wanted, and until when."""
    if past_due:
        return f"Stripe waits for {wanted(codes)}, and pays out nothing before."
    until = f" until {date_text(deadline)}" if deadline else ""
    return f"Stripe wants to know {wanted(codes)}{until}."
