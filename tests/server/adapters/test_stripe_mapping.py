"""What Stripe's objects become on their way through the gateway port."""

import pytest

from domain.ports.payment_gateway import Conversion
from server.adapters import stripe_mapping


def line(amount: int, currency: str = "eur", rate: float | None = None, fee: int = 0):
    named = {"id": f"txn_{amount}", "amount": amount, "fee": fee}
    return {**named, "currency": currency, "exchange_rate": rate}


def dispute(*lines, amount: int = 100_000):
    body = {"id": "dp_1", "status": "lost", "amount": amount, "currency": "eur"}
    return stripe_mapping.dispute({**body, "balance_transactions": list(lines)})


def test_lines_in_the_currency_of_the_dispute() -> None:
    found = dispute(line(-100_000, fee=1500), line(-120), line(30_000))
    assert (found.withdrawn_amount, found.fee_amount) == (70_120, 1500)
    assert (found.fee_currency, found.conversions) == ("EUR", ())


def test_lines_at_different_rates() -> None:
    """Guard: `stripe_mapping._disputed_part`: each line at its own rate, and a fee as it is."""
    found = dispute(
        line(-108_000, "usd", 1.08, fee=2000), line(31_500, "usd", 1.05), line(-120, "usd")
    )
    assert (found.withdrawn_amount, found.fee_amount, found.fee_currency) == (70_000, 2000, "USD")
    assert found.conversions == (
        Conversion("txn_-108000", -100_000, "USD", -108_000),
        Conversion("txn_31500", 30_000, "USD", 31_500),
        Conversion("txn_-120", 0, "USD", -120),
    )


@pytest.mark.parametrize(("amount", "rate"), [(99_999_999, 1.2345678), (12_345_67, 0.0067123)])
def test_a_rounded_rate_takes_no_cents(amount: int, rate: float) -> None:
    """Guard: `RATE_PRECISION` in `stripe_mapping._disputed_part`."""
    taken = dispute(line(-round(amount * rate), "usd", float(f"{rate:.6g}")), amount=amount)
    assert taken.withdrawn_amount == amount
