"""Where a platform may have connected accounts, and under which service agreement.

Sources: Stripe, "Service agreement types", "Cross-border payouts" and "Global availability".
"""

from __future__ import annotations

from server.dev.stripe_sandbox.errors import StripeError, refused

# In one region platforms have accounts under the full agreement.
_REGION = """
US CA GB CH AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LI LT LU LV MT NL NO PL PT RO SE SI SK
"""
# Where platforms of the US have accounts under the recipient agreement.
_RECIPIENTS = """
AE AG AL AM AO AR AT AU AZ BA BD BE BG BH BJ BN BO BS BT BW CA CH CI CL CO CR CY CZ DE DK DO DZ EC
EE EG ES ET FI FR GA GB GH GM GR GT GY HK HR HU ID IE IL IN IS IT JM JO JP KE KH KR KW KZ LA LC LI
LK LT LU LV MA MC MD MG MK MN MO MT MU MX MY MZ NA NE NG NL NO NZ OM PA PE PH PK PL PT PY QA RO RS
RW SA SE SG SI SK SM SN SV TH TN TR TT TW TZ UY UZ VN ZA
"""
REGION, RECIPIENTS = frozenset(_REGION.split()), frozenset(_RECIPIENTS.split())


def reaches(platform: str, country: str, agreement: str) -> bool:
    """Whether a platform may have an account in a country under this agreement."""
    if agreement == "recipient":
        return platform == "US" and country in RECIPIENTS
    return country == platform or {platform, country} <= REGION


def check(platform: str, country: str, agreement: str) -> None:
    """Raises the refusal of POST /v1/accounts."""
    if not reaches(platform, country, agreement):
        what = "with the recipient service agreement" if agreement == "recipient" else "by Stripe"
        raise refused(
            f"{country} is not currently supported {what} for platforms in {platform}.",
            "country_unsupported",
            "country",
        )


def check_v2(platform: str, country: str, *, merchant: bool) -> None:
    """Raises the refusal of POST /v2/core/accounts."""
    if merchant and not reaches(platform, country, "full"):
        raise StripeError(
            400,
            "invalid_request_error",
            f"A platform in {platform} cannot create a merchant in {country}.",
            code="cross_border_connected_account_creation_not_allowed",
        )
    agreements = ("full", "recipient")
    if not any(reaches(platform, country, agreement) for agreement in agreements):
        raise StripeError(
            400,
            "invalid_request_error",
            f"The capability stripe_balance.stripe_transfers is not available in {country}.",
            code="capability_not_available_in_country",
        )


def agreement_of(platform: str, country: str, *, merchant: bool) -> str:
    """The agreement of an account made by /v2, which does not name it."""
    return "full" if merchant or reaches(platform, country, "full") else "recipient"
