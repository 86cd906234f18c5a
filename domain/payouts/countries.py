"""The countries to whose bank accounts money is paid out."""

from typing import Annotated, Literal, get_args

from msgspec import Meta as Limits

# Where Stripe opens accounts that take `card_payments` and `transfers`. Source: Stripe, "Global
# availability", and "Connect: supported countries" of Express accounts.
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
    Limits(description="The code of a country where Stripe pays out, such as US."),
]
