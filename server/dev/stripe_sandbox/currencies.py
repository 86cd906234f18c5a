"""Currencies: their decimals, their smallest and largest charge."""

from __future__ import annotations

from server.dev.stripe_sandbox.errors import malformed

# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
MINIMUM = {
    "aed": 200,
    "aud": 50,
    "bgn": 100,
    "brl": 50,
    "cad": 50,
    "chf": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "inr": 50,
    "jpy": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "nzd": 50,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "sgd": 50,
    "thb": 1000,
    "usd": 50,
}


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


ZERO_DECIMAL = _codes("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf")
THREE_DECIMAL = _codes("bhd jod kwd omr tnd")
# https://docs.stripe.com/currencies#special-cases
HUNDREDTHS_ARE_ZERO = _codes("isk ugx")
PAID_OUT_IN_UNITS = _codes("huf isk twd ugx")
TWO_DECIMAL = _codes(
    "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd"
    " cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd"
    " hnl htg huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt"
    " mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub"
    " sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah uyu uzs wst xcd"
    " yer zar zmw"
)
CURRENCIES = ZERO_DECIMAL | THREE_DECIMAL | TWO_DECIMAL
MAXIMUM = 99_999_999
RATE = 1.08  # of all conversions in the sandbox
COUNTRY_CURRENCY = {
    "US": "usd",
    "GB": "gbp",
    "JP": "jpy",
    "CA": "cad",
    "AU": "aud",
    "NZ": "nzd",
    "CH": "chf",
    "SE": "sek",
    "NO": "nok",
    "DK": "dkk",
    "PL": "pln",
    "CZ": "czk",
    "HU": "huf",
    "RO": "ron",
    "SG": "sgd",
    "HK": "hkd",
    "IN": "inr",
    "MX": "mxn",
    "BR": "brl",
    "TH": "thb",
    "MY": "myr",
    "AE": "aed",
    "KW": "kwd",
}
SETTLED_CURRENCIES = sorted({*COUNTRY_CURRENCY.values(), "eur", "isk"})  # by the platform


def local_currency(country: str) -> str:
    """The settlement currency of accounts in a country."""
    return COUNTRY_CURRENCY.get(country, "eur")


def digits(currency: str) -> int:
    """The decimals of a currency."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def exchange_rate(source: str, target: str) -> float:
    """The rate at which the sandbox converts minor units. There is only one, so that what people
    read as amounts is alike: 1.08, and its inverse into the currency that is later in the
    alphabet."""
    rate = RATE if source < target else 1 / RATE
    return rate * 10.0 ** (digits(target) - digits(source))


def format_amount(amount: int, currency: str) -> str:
    """An amount with its currency, such as `12.50 usd`."""
    if currency in ZERO_DECIMAL:
        return f"{amount} {currency}"
    digits = 3 if currency in THREE_DECIMAL else 2
    return f"{amount / 10**digits:.{digits}f} {currency}"


def check_charge_amount(amount: int, currency: str) -> None:
    """Raises amount_too_small, amount_too_large, or `check_positive`'s errors."""
    check_positive(amount, currency)
    least = MINIMUM.get(currency, 150 if currency in THREE_DECIMAL else 50)
    if amount < least:
        raise malformed(
            f"Amount must be at least {format_amount(least, currency)}",
            "amount_too_small",
            "amount",
        )
    if amount > MAXIMUM:
        raise malformed(
            f"Amount must be no more than {format_amount(MAXIMUM, currency)}",
            "amount_too_large",
            "amount",
        )


def check_step(amount: int, currency: str) -> None:
    """Raises for an amount that is not a multiple of the currency's step: 10 minor units with three
    decimals, 100 where Stripe counts hundredths that do not exist."""
    step = 10 if currency in THREE_DECIMAL else 100 if currency in HUNDREDTHS_ARE_ZERO else 1
    _check_multiple(amount, currency, step)


def check_payout_step(amount: int, currency: str) -> None:
    """Raises for a payout that is no whole unit of a currency that banks take in units only."""
    _check_multiple(amount, currency, 100 if currency in PAID_OUT_IN_UNITS else 1)


def _check_multiple(amount: int, currency: str, step: int) -> None:
    if amount % step:
        raise malformed(
            f"Invalid amount: {currency} amounts must be a multiple of {step}",
            "parameter_invalid_integer",
            "amount",
        )


def check_positive(amount: int, currency: str, param: str = "amount") -> None:
    """Raises for an amount below 1 or one that `check_step` refuses."""
    if amount < 1:
        raise malformed(
            "This value must be greater than or equal to 1.", "parameter_invalid_integer", param
        )
    check_step(amount, currency)
