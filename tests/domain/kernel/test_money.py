"""Money: for all amounts, fees and orders of facts, the parts sum to the captured amount."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ledger
from domain.kernel.errors import AmountNotPayable, CurrencyNotSupported
from domain.kernel.money import (
    CURRENCIES,
    MAX_AMOUNT,
    NOTHING,
    Holdings,
    Schedule,
    check_chargeable,
    display,
    holdings,
)
from tests.support.property_sizes import examples

STANDARD = Schedule(1000, 2000)
ALL = tuple(CURRENCIES)
FULL = 10_000

amounts = st.one_of(st.integers(0, 100), st.integers(0, MAX_AMOUNT))
schedules = st.tuples(st.integers(0, FULL), st.integers(0, FULL)).map(
    lambda bps: Schedule(bps[0], bps[1] if sum(bps) <= FULL else FULL - bps[0])
)


def splits(captured, cuts):
    """(refunded, completed) after each cut, in 1/1000: above zero of the work that is left, below
    zero of the money that is kept, sent back out of escrow first and then out of done work."""
    steps = [(0, 0)]
    for cut in cuts:
        refunded, completed = steps[-1]
        kept = captured - refunded
        if cut > 0:
            completed += -((completed - kept) * cut // 1000)
        else:
            refunded += -(kept * cut // 1000)
            completed = min(completed, captured - refunded)
        steps.append((refunded, completed))
    return steps


# -- who holds what ------------------------------------------------------------------------------


@examples(600, deep=10_000)
@given(amounts, st.integers(0, 1000), st.integers(0, 1000), schedules)
def test_the_parts_sum_to_the_kept_money(captured, sent_back, done, fees):
    """Guard: `- (fees.fee(kept) - fees.fee(completed))` in `holdings`; with the fee of the rest,
    `fees.fee(kept - completed)`, a unit is lost where two amounts are rounded."""
    kept = captured - captured * sent_back // 1000
    parts = holdings(captured, captured - kept, kept * done // 1000, fees)
    assert parts.platform + parts.contractor + parts.escrow == kept
    assert min(parts.platform, parts.contractor, parts.escrow) >= 0


@examples(300, deep=4000)
@given(amounts, st.lists(st.integers(-1000, 1000), max_size=5), schedules)
def test_every_fact_books_the_difference(captured, cuts, fees):
    """Guard: `sources.insert(0, (source, left - part))` in `booking.postings_for`; without it the
    remainder of a source is lost, and the next destination finds no source."""
    books = Counter()
    before, refunded_before = NOTHING, captured  # so that the first fact is the capture
    for refunded, completed in splits(captured, cuts):
        after = holdings(captured, refunded, completed, fees)
        deltas = {
            "world": refunded - refunded_before,
            "platform": after.platform - before.platform,
            "escrow": after.escrow - before.escrow,
            "contractor": after.contractor - before.contractor,
        }
        postings = ledger.postings_for(deltas)
        _apply(postings, books)
        moved = sum(1 for delta in deltas.values() if delta)
        assert len(postings) <= max(0, moved - 1), "each posting settles at least one account"
        assert all(p.amount > 0 and p.source != p.destination for p in postings)
        assert Holdings(books["platform"], books["contractor"], books["escrow"]) == after
        assert after.platform + after.contractor + after.escrow == captured - refunded
        before, refunded_before = after, refunded


@examples(300, deep=4000)
@given(amounts, amounts, schedules)
def test_more_money_and_more_work_never_lower_the_fee(one, other, fees):
    """Guard: `platform=fees.fee(kept) + fees.service(completed)`; with the fee on `completed` only
    the platform would earn nothing by an acceptance."""
    less, more = sorted((one, other))
    assert fees.fee(less) <= fees.fee(more) <= more
    assert fees.service(less) <= fees.service(more) <= more
    stages = [holdings(more, 0, done, fees) for done in (0, less, more)]
    for earlier, later in pairwise(stages):
        assert earlier.platform <= later.platform
        assert earlier.escrow >= later.escrow
    assert stages[0].platform == fees.fee(more)
    assert stages[0].contractor == stages[-1].escrow == 0
    assert holdings(less, 0, 0, fees).platform <= stages[0].platform


@examples(200, deep=2000)
@given(st.dictionaries(st.integers(0, 9), st.integers(-MAX_AMOUNT, MAX_AMOUNT), max_size=9))
def test_postings_make_any_change_that_balances(deltas):
    """Guard: `raise ValueError("a transaction must balance")`; without it `sources.pop(0)` fails on
    an empty list, or money is lost without a word."""
    changes = {f"account {name}": delta for name, delta in deltas.items()}
    if sum(deltas.values()):
        with pytest.raises(ValueError, match="must balance"):
            ledger.postings_for(changes)
        changes["the rest"] = -sum(deltas.values())
    books = Counter()
    postings = ledger.postings_for(changes)
    _apply(postings, books)
    assert {name: books[name] for name in changes} == changes
    assert len(postings) <= max(0, sum(1 for delta in changes.values() if delta) - 1)


def _apply(postings, books):
    for posting in postings:
        books[posting.source] -= posting.amount
        books[posting.destination] += posting.amount
    assert not sum(books.values())


@pytest.mark.parametrize(
    ("amount", "accepted", "done"),
    [
        (1, Holdings(0, 0, 1), Holdings(0, 1, 0)),
        (2, Holdings(0, 0, 2), Holdings(0, 2, 0)),
        (3, Holdings(0, 0, 3), Holdings(0, 3, 0)),
        (7, Holdings(0, 0, 7), Holdings(1, 6, 0)),
        (9, Holdings(0, 0, 9), Holdings(1, 8, 0)),
        (10, Holdings(1, 0, 9), Holdings(3, 7, 0)),
        (11, Holdings(1, 0, 10), Holdings(3, 8, 0)),
        (100_000, Holdings(10_000, 0, 90_000), Holdings(30_000, 70_000, 0)),
    ],
)
def test_fees_round_down(amount, accepted, done):
    """Guard: `//` in `Schedule.fee` and `.service`; rounding to the nearest takes 1 of 7."""
    assert holdings(amount, 0, 0, STANDARD) == accepted
    assert holdings(amount, 0, amount, STANDARD) == done
    assert holdings(amount, amount, 0, STANDARD) == NOTHING


def test_milestones_and_refunds_to_the_unit():
    """Guard: the fee is taken on `kept`, not on `settle_capture`: a refund gives the fee back
    too."""
    assert holdings(1111, 0, 333, STANDARD) == Holdings(177, 234, 700)
    assert holdings(1111, 0, 1111, STANDARD) == Holdings(333, 778, 0)
    assert holdings(1111, 611, 333, STANDARD) == Holdings(116, 234, 150)
    assert holdings(1111, 1111, 0, STANDARD) == NOTHING


@pytest.mark.parametrize(
    ("captured", "refunded", "completed"), [(10, 0, 11), (10, 5, 6), (10, 11, 0), (10, 0, -1)]
)
def test_completed_work_above_the_kept_money_is_an_error(captured, refunded, completed):
    """Guard: `if not 0 <= completed <= kept`; without it escrow goes below zero unnoticed."""
    with pytest.raises(ValueError, match="must lie within"):
        holdings(captured, refunded, completed, STANDARD)


# -- what can be charged -------------------------------------------------------------------------


@pytest.mark.parametrize("code", ALL)
def test_the_limits_of_every_currency(code):
    """Guard: `currency.minimum <= amount <= MAX_AMOUNT or amount % currency.step`; without one of
    the three, Stripe refuses what we have accepted."""
    currency = CURRENCIES[code]
    least, step = currency.minimum, currency.step
    most = MAX_AMOUNT - MAX_AMOUNT % step
    for amount in (least, least + step, most):
        check_chargeable(amount, code, ALL)
    wrong = {0, -least, least - 1, least - step, MAX_AMOUNT + 1, most + step}
    for amount in wrong | ({least + 1, least + step - 1, MAX_AMOUNT} if step > 1 else set()):
        with pytest.raises(AmountNotPayable) as refused:
            check_chargeable(amount, code, ALL)
        assert refused.value.details == {
            "field": "amount",
            "minimum": least,
            "maximum": MAX_AMOUNT,
            "step": step,
        }


@pytest.mark.parametrize("code", ["XXX", "usd", "", "JPY"])
def test_a_currency_that_is_not_settled(code):
    """Guard: `currency is None or code not in settled`; without it JPY would be charged although
    the platform has no such balance."""
    with pytest.raises(CurrencyNotSupported, match="USD, KWD"):
        check_chargeable(1000, code, ("USD", "KWD"))


# -- for people ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "code", "text"),
    [
        (100_000, "USD", "1,000.00 USD"),
        (5, "USD", "0.05 USD"),
        (0, "EUR", "0.00 EUR"),
        (-1_234_567, "USD", "-12,345.67 USD"),
        (100_000, "JPY", "100,000 JPY"),
        (1_234_560, "KWD", "1,234.560 KWD"),
        (-70, "KWD", "-0.070 KWD"),
        (1234, "XXX", "12.34 XXX"),
    ],
)
def test_display(amount, code, text):
    """Guard: `10**exponent`; with cents for all, 100,000 yen would read 1,000.00."""
    assert display(amount, code) == text


@examples(200, deep=1000)
@given(st.integers(-(10**12), 10**12), st.sampled_from(ALL))
def test_display_loses_nothing(amount, code):
    """Guard: `{rest:0{exponent}d}`; unpadded, 5 cents would read 0.5."""
    shown, _, shown_code = display(amount, code).partition(" ")
    assert shown_code == code
    assert int(shown.replace(",", "").replace(".", "")) == amount
    assert len(shown.partition(".")[2]) == CURRENCIES[code].exponent
