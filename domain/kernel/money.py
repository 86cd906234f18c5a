"""Money: minor units, currencies, and the split of an offer's money among its parties.

Amounts are integers in the minor unit of their currency. Only `fee` and `service` round: down, in
the payer's favour.
"""

from typing import Annotated

import msgspec

from domain.kernel.errors import AmountNotPayable, CurrencyNotSupported, Invalid, Rule
from domain.kernel.fields import about

MAX_AMOUNT = 99_999_999  # Stripe: at most eight digits per charge


class Currency(msgspec.Struct, frozen=True):
    """`exponent` is the number of decimals. Amounts are multiples of `step` from `minimum` up, in
    minor units.

    `half_dollar` is about half a US dollar, for the least withdrawal and for the bands in which a
    search counts budgets: no money is converted by it. It is `minimum`, because Stripe's least
    charge in a currency is about 0.50 USD, except where Stripe takes much less.

    Stripe counts `special` currencies in minor units but pays them out in whole units only. A
    deployment must accept them explicitly.
    """

    code: str
    exponent: int
    minimum: int
    step: int = 1
    special: bool = False
    half_dollar: int | None = None


# Sources: ISO 4217 for exponents, except that Stripe counts ISK and UGX in hundredths; Stripe,
# "Supported currencies", for steps, special cases and minimum charges.
CURRENCIES = {
    currency.code: currency
    for currency in (
        Currency("USD", 2, 50),
        Currency("EUR", 2, 50),
        Currency("GBP", 2, 30),
        Currency("CHF", 2, 50),
        Currency("CAD", 2, 50),
        Currency("AUD", 2, 50),
        Currency("NZD", 2, 50),
        Currency("SEK", 2, 300),
        Currency("NOK", 2, 300),
        Currency("DKK", 2, 250),
        Currency("PLN", 2, 200),
        Currency("CZK", 2, 1500),
        Currency("SGD", 2, 50),
        Currency("HKD", 2, 400),
        Currency("MXN", 2, 1000),
        Currency("BRL", 2, 50, half_dollar=250),
        Currency("INR", 2, 50, half_dollar=5000),
        Currency("AED", 2, 200),
        Currency("JPY", 0, 50),
        Currency("KRW", 0, 1000),
        Currency("KWD", 3, 200, step=10),
        Currency("BHD", 3, 200, step=10),
        Currency("JOD", 3, 400, step=10),
        Currency("OMR", 3, 200, step=10),
        Currency("TND", 3, 2000, step=10),
        Currency("HUF", 2, 17_500, step=100, special=True),
        Currency("ISK", 2, 7_500, step=100, special=True),
        Currency("TWD", 2, 1_600, step=100, special=True),
        Currency("UGX", 2, 200_000, step=100, special=True),
    )
}


def check_chargeable(amount: int, code: str, settled: tuple[str, ...]) -> None:
    """Raises CurrencyNotSupported or AmountNotPayable, which name the accepted values."""
    currency = CURRENCIES.get(code)
    if currency is None or code not in settled:
        raise CurrencyNotSupported(
            f"currency: the platform settles {', '.join(settled)}.", field="currency"
        )
    if not currency.minimum <= amount <= MAX_AMOUNT or amount % currency.step:
        number = f"a multiple of {currency.step}" if currency.step > 1 else "a number"
        raise AmountNotPayable(
            f"amount: take {number} from {currency.minimum} to {MAX_AMOUNT} minor units of {code}.",
            field="amount",
            minimum=currency.minimum,
            maximum=MAX_AMOUNT,
            step=currency.step,
        )


def check_step(amount: int, code: str) -> None:
    """Raises Invalid for an amount that Stripe does not pay out in this currency."""
    if amount % (step := CURRENCIES[code].step):
        raise Invalid(
            f"take a multiple of {step} (minor units).",
            field="amount",
            rule=Rule.MULTIPLE_OF,
            limit=step,
        )


def least_withdrawal(code: str, cents: int) -> int:
    """About as much as so many US cents in a currency, in its minor units: a multiple of its
    step."""
    currency = CURRENCIES[code]
    half_dollar = currency.half_dollar or currency.minimum
    return -(-cents * half_dollar // 50 // currency.step) * currency.step


def display(amount: int, code: str) -> str:
    """An amount for people to read: `1,000.00 USD`."""
    exponent = CURRENCIES[code].exponent if code in CURRENCIES else 2
    sign, digits = ("-" if amount < 0 else ""), abs(amount)
    whole, rest = divmod(digits, 10**exponent)
    return f"{sign}{whole:,}" + (f".{rest:0{exponent}d}" if exponent else "") + f" {code}"


class Schedule(msgspec.Struct, frozen=True):
    """Fees in basis points (1/10000), fixed when the offer is made."""

    platform_bps: Annotated[
        int, about("The platform's fee on the whole amount, in basis points (1/10000).")
    ]
    service_bps: Annotated[
        int, about("The service fee on completed work, in basis points (1/10000).")
    ]

    def fee(self, amount: int) -> int:
        return amount * self.platform_bps // 10_000

    def service(self, amount: int) -> int:
        return amount * self.service_bps // 10_000


class Holdings(msgspec.Struct, frozen=True):
    """What each party holds of one offer's money; the parts sum to captured - refunded."""

    platform: int = 0
    contractor: int = 0
    escrow: int = 0


NOTHING = Holdings()


def holdings(captured: int, refunded: int, completed: int, fees: Schedule) -> Holdings:
    """Split the kept money: a platform fee on all of it, a service fee on its completed part.

    No part is negative for 0 <= completed <= captured - refunded and fees of at most 100 %. Every
    booking is the difference of two results of this function, so rounding errors do not add up.
    """
    kept = captured - refunded
    if not 0 <= completed <= kept:
        raise ValueError(f"completed work {completed} must lie within the kept money {kept}")
    return Holdings(
        platform=fees.fee(kept) + fees.service(completed),
        contractor=completed - fees.fee(completed) - fees.service(completed),
        escrow=(kept - completed) - (fees.fee(kept) - fees.fee(completed)),
    )
