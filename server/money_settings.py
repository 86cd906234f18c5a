"""Parsers of the settings about money: countries, currencies, exchange rates, payment methods.

An error message continues a sentence that begins with the name of the variable.
"""

import re

from domain.kernel.money import CURRENCIES
from domain.payouts.countries import PLATFORM_COUNTRIES
from domain.ports.method_types import METHOD_TYPES


def items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def country(text: str) -> str:
    if text.upper() not in PLATFORM_COUNTRIES:
        raise ValueError("must be the code of a country where Stripe serves businesses, such as US")
    return text.upper()


def currencies(text: str) -> tuple[str, ...]:
    currencies = tuple(items(text.upper()))
    if not currencies or not all(re.fullmatch(r"[A-Z]{3}", code) for code in currencies):
        raise ValueError("must be ISO 4217 codes such as USD,EUR, separated by commas")
    if len(set(currencies)) < len(currencies):
        raise ValueError("names a currency twice: remove one")
    return currencies


def exchange_rates(text: str) -> tuple[tuple[str, float], ...]:
    rates = []
    for item in items(text.upper()):
        code, _, value = item.partition("=")
        if code not in CURRENCIES or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
            raise ValueError(
                "must be values of one unit in the default currency, such as EUR=1.08,JPY=0.0067"
            )
        if not float(value):
            raise ValueError(f"has no value of {code}: give one above 0")
        rates.append((code, float(value)))
    if len(dict(rates)) < len(rates):
        raise ValueError("names a currency twice: remove one")
    return tuple(rates)


def payment_methods(text: str) -> tuple[str, ...]:
    methods = tuple(dict.fromkeys(items(text)))
    if not methods or not all(name in METHOD_TYPES for name in methods):
        raise ValueError(
            f"must be types of payment methods, separated by commas: {', '.join(METHOD_TYPES)}"
        )
    return methods
