"""The countries to whose bank accounts a platform pays out, and under which service agreement.

| platform in | accounts in | agreement |
|---|---|---|
| one of REGION | any of REGION | full |
| US | any of CROSS_BORDER | recipient |
| anywhere else | its own country | full |

Funds of accounts under the recipient agreement arrive 24 hours later. Sources: Stripe, "Service
agreement types", "Cross-border payouts" (US platforms only) and "Global availability".
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from domain.kernel.errors import Invalid, Rule
from domain.kernel.fields import expected
from domain.operations.input_errors import choose

_REGION = """
AT BE BG CA CH CY CZ DE DK EE ES FI FR GB GR HR HU IE IT LI LT LU LV MT NL NO PL PT RO SE SI SK US
"""
_CROSS_BORDER = """
AE AG AL AM AO AR AT AU AZ BA BD BE BG BH BJ BN BO BS BT BW CA CH CI CL CO CR CY CZ DE DK DO DZ EC
EE EG ES ET FI FR GA GB GH GM GR GT GY HK HR HU ID IE IL IN IS IT JM JO JP KE KH KR KW KZ LA LC LI
LK LT LU LV MA MC MD MG MK MN MO MT MU MX MY MZ NA NE NG NL NO NZ OM PA PE PH PK PL PT PY QA RO RS
RW SA SE SG SI SK SM SN SV TH TN TR TT TW TZ UY UZ VN ZA
"""
# Where Stripe serves businesses, so that a platform can be there.
_PLATFORMS = "AE AU BR GI HK ID IN JP MX MY NZ SG TH"
REGION, CROSS_BORDER = frozenset(_REGION.split()), frozenset(_CROSS_BORDER.split())
PLATFORM_COUNTRIES = REGION | frozenset(_PLATFORMS.split())
RECIPIENT_DELAY = timedelta(hours=24)
LISTED = 12  # countries in a sentence; `details.limit` has all

# All of them.
CountryCode = Literal[
    "AE",
    "AG",
    "AL",
    "AM",
    "AO",
    "AR",
    "AT",
    "AU",
    "AZ",
    "BA",
    "BD",
    "BE",
    "BG",
    "BH",
    "BJ",
    "BN",
    "BO",
    "BR",
    "BS",
    "BT",
    "BW",
    "CA",
    "CH",
    "CI",
    "CL",
    "CO",
    "CR",
    "CY",
    "CZ",
    "DE",
    "DK",
    "DO",
    "DZ",
    "EC",
    "EE",
    "EG",
    "ES",
    "ET",
    "FI",
    "FR",
    "GA",
    "GB",
    "GH",
    "GI",
    "GM",
    "GR",
    "GT",
    "GY",
    "HK",
    "HR",
    "HU",
    "ID",
    "IE",
    "IL",
    "IN",
    "IS",
    "IT",
    "JM",
    "JO",
    "JP",
    "KE",
    "KH",
    "KR",
    "KW",
    "KZ",
    "LA",
    "LC",
    "LI",
    "LK",
    "LT",
    "LU",
    "LV",
    "MA",
    "MC",
    "MD",
    "MG",
    "MK",
    "MN",
    "MO",
    "MT",
    "MU",
    "MX",
    "MY",
    "MZ",
    "NA",
    "NE",
    "NG",
    "NL",
    "NO",
    "NZ",
    "OM",
    "PA",
    "PE",
    "PH",
    "PK",
    "PL",
    "PT",
    "PY",
    "QA",
    "RO",
    "RS",
    "RW",
    "SA",
    "SE",
    "SG",
    "SI",
    "SK",
    "SM",
    "SN",
    "SV",
    "TH",
    "TN",
    "TR",
    "TT",
    "TW",
    "TZ",
    "US",
    "UY",
    "UZ",
    "VN",
    "ZA",
]
Country = Annotated[
    CountryCode,
    expected("The code of a country where Stripe pays out, such as US."),
]


class Agreement(StrEnum):
    """Whose customer an account is: of Stripe (`full`), or of the platform alone (`recipient`)."""

    FULL = "full"
    RECIPIENT = "recipient"


def agreement_for(platform: str, country: str) -> Agreement | None:
    """The agreement of an account in a country; None if the platform does not reach it."""
    if country == platform or {platform, country} <= REGION:
        return Agreement.FULL
    if platform == "US" and country in CROSS_BORDER:
        return Agreement.RECIPIENT
    return None


def reachable(platform: str) -> list[str]:
    """The countries that a platform reaches, in the order of their codes."""
    known = PLATFORM_COUNTRIES | CROSS_BORDER
    return sorted(code for code in known if agreement_for(platform, code))


def check_reachable(platform: str, country: str) -> None:
    """Raises Invalid, with the list of the countries that work."""
    if agreement_for(platform, country) is None:
        works = reachable(platform)
        ask = choose(works) if len(works) <= LISTED else "choose a country where Stripe pays out."
        raise Invalid(ask, field="country", rule=Rule.CHOICE, limit=works)


def arrives_at(
    agreement: str, made_at: datetime, charge_available_on: datetime | None
) -> datetime | None:
    """When the money of a transfer can be paid out at the earliest; None if that is at once."""
    if agreement == Agreement.RECIPIENT:
        return max(made_at, charge_available_on or made_at) + RECIPIENT_DELAY
    return charge_available_on
