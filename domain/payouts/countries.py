"""The countries to whose bank accounts a platform pays out, and under which service agreement.

| platform in | accounts in | agreement |
|---|---|---|
| one of REGION | any of REGION | full |
| US, with `cross_border` | any of CROSS_BORDER | recipient |
| anywhere else | its own country | full |

Each platform of REGION reaches all of REGION. The recipient agreement needs Stripe's approval of
the platform, without which Stripe refuses the account. Its funds arrive 24 hours later.

Sources, compared in November 2026: Stripe, "Cross-border payouts" (docs.stripe.com/connect/
cross-border-payouts) for REGION and for what is not self-serve; the list "Supported countries",
which that page had until 2026, for CROSS_BORDER, all 118 of them; "Service agreement types" for the
delay; "Global availability" for PLATFORM_COUNTRIES.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from domain.kernel.errors import Invalid, Rule
from domain.kernel.fields import expected
from domain.kernel.settings import Rates
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


def agreement_for(rates: Rates, country: str) -> Agreement | None:
    """The agreement of an account in a country; None if the platform does not reach it."""
    platform = rates.platform_country
    if country == platform or {platform, country} <= REGION:
        return Agreement.FULL
    if rates.cross_border and platform == "US" and country in CROSS_BORDER:
        return Agreement.RECIPIENT
    return None


def reachable(rates: Rates) -> list[str]:
    """The countries that a platform reaches, in the order of their codes."""
    known = PLATFORM_COUNTRIES | CROSS_BORDER
    return sorted(code for code in known if agreement_for(rates, code))


def check_reachable(rates: Rates, country: str) -> None:
    """Raises Invalid, with the list of the countries that work."""
    if agreement_for(rates, country) is None:
        works = reachable(rates)
        ask = choose(works) if len(works) <= LISTED else "choose a country where Stripe pays out."
        raise Invalid(ask, field="country", rule=Rule.CHOICE, limit=works)


def arrives_at(
    agreement: str, made_at: datetime, charge_available_on: datetime | None
) -> datetime | None:
    """When the money of a transfer can be paid out at the earliest; None if that is at once."""
    if agreement == Agreement.RECIPIENT:
        return max(made_at, charge_available_on or made_at) + RECIPIENT_DELAY
    return charge_available_on
