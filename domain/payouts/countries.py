"""The countries to whose bank accounts money is paid out."""

from typing import Annotated, Literal, get_args

from domain.kernel.fields import expected

# Where Stripe serves businesses, so that an account there can have `card_payments` as well as
# `transfers`. Stripe may refuse one for the platform's own country. Source: Stripe, "Global
# availability" and "Using Connect with Express connected accounts".
CountryCode = Literal[
    "AE",
    "AT",
    "AU",
    "BE",
    "BG",
    "BR",
    "CA",
    "CH",
    "CY",
    "CZ",
    "DE",
    "DK",
    "EE",
    "ES",
    "FI",
    "FR",
    "GB",
    "GI",
    "GR",
    "HK",
    "HR",
    "HU",
    "ID",
    "IE",
    "IN",
    "IT",
    "JP",
    "LI",
    "LT",
    "LU",
    "LV",
    "MT",
    "MX",
    "MY",
    "NL",
    "NO",
    "NZ",
    "PL",
    "PT",
    "RO",
    "SE",
    "SG",
    "SI",
    "SK",
    "TH",
    "US",
]
COUNTRIES: tuple[str, ...] = get_args(CountryCode)
Country = Annotated[
    CountryCode,
    expected("The code of a country where Stripe pays out, such as US."),
]
