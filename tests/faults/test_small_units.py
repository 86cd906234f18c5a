"""Currencies that Stripe moves in steps: a refund and its remainders leave no debt beside money."""

import msgspec
import pytest

from domain import ledger
from domain.kernel.money import CURRENCIES, holdings
from domain.reconciliation.books_audit import audit
from server.config import load
from tests.faults.outcome import feed_values
from tests.support.job_in_progress import TIMEOUT, JobInProgress
from tests.support.parties import PASSWORD
from tests.support.property_sizes import SEED
from tests.support.worlds import World

STEPPED = ("KWD", "HUF", "ISK", "TWD", "UGX")
TRIED = STEPPED if SEED else ("HUF",)
PARTS = ("available", "pending", "held", "in_transit", "debt")


@pytest.fixture
async def installation(installation):
    env = {
        **installation.env,
        "CURRENCY": ",".join(("USD", *STEPPED)),
        "SPECIAL_CURRENCIES": "HUF,ISK,TWD,UGX",
    }
    return msgspec.structs.replace(installation, env=env, settings=load(env))


async def wallet(party, currency):
    """(available, pending, held, in_transit, debt) in a currency."""
    balance = await party.call("/wallet", "balance")
    found = [each for each in (balance, *balance["others"]) if each["currency"] == currency]
    return tuple(found[0][part] for part in PARTS) if found else (0,) * len(PARTS)


async def no_differences(work):
    await work.market.settled(TIMEOUT)
    assert (await audit(work.server.ports)).differences == []


async def earned(market, server, currency, units, contractor=None):
    """A completed job of `units` steps, whose share is in the wallet. The amount ends so that the
    share is no multiple of the step."""
    step = CURRENCIES[currency].step
    return await JobInProgress(market, server).start_and_complete(
        units * step, currency=currency, contractor=contractor
    )


async def earn_dinars(work):
    await work.start_and_complete(12_350, currency="KWD")


@pytest.fixture(scope="session")
def world_of_dinars():
    return World(JobInProgress, earn_dinars)


@pytest.fixture
async def dinars(world_of_dinars, market, server):
    """A completed job of 12.350 KWD, of which the contractor has 8.640 and 0.005 in the wallet."""
    return await world_of_dinars.enter(market, server)


@pytest.mark.parametrize("currency", TRIED)
async def test_two_refunds_leave_nothing_and_the_account_is_closed(market, server, currency):
    """Guard: `round_up` in `reversals.take_available` and `remainder_of` in `allocation.claw_back`;
    without them 12.350 KWD refunded as 1.010 and the rest leave available 10, pending 5, debt -15.
    """
    step = CURRENCIES[currency].step
    work = await earned(market, server, currency, 30_001)
    share = holdings(30_001 * step, 0, 30_001 * step, (await work.stored_offer()).schedule)
    available, pending, *rest = await wallet(work.contractor, currency)
    assert (available + pending, available % step, rest) == (share.contractor, 0, [0, 0, 0])
    assert 0 < pending < step
    await work.refund(101 * step)
    await no_differences(work)
    available, pending, *rest = await wallet(work.contractor, currency)
    assert (pending < step, available % step, rest) == (True, 0, [0, 0, 0])
    await work.refund()
    await no_differences(work)
    assert await wallet(work.contractor, currency) == (0, 0, 0, 0, 0)
    assert "debt_due" not in await feed_values(work.contractor, "notification", "kind")
    await work.contractor.call("/account", "delete", {"password": PASSWORD})


async def test_the_example_in_dinars(dinars):
    """Guard: as above, with the amounts of the report."""
    work = dinars
    assert await wallet(work.contractor, "KWD") == (8640, 5, 0, 0, 0)
    await work.refund(1010)
    await no_differences(work)
    assert await wallet(work.contractor, "KWD") == (7930, 8, 0, 0, 0)
    [transfer] = await work.stripe_list("transfers")
    assert (transfer["amount"], transfer["amount_reversed"]) == (8640, 710)
    await work.refund()
    await no_differences(work)
    assert await wallet(work.contractor, "KWD") == (0, 0, 0, 0, 0)
    assert "debt_due" not in await feed_values(work.contractor, "notification", "kind")
    await work.contractor.call("/account", "delete", {"password": PASSWORD})


async def test_a_debt_below_a_step_is_paid_by_what_comes(dinars, market, server):
    """Guard: `take_available` in `reversals.collect_debt`; without it a debt of 5 fils stays beside
    money, because Stripe reverses 10 at least."""
    work = dinars
    await market.withdraw(work.contractor, 8640, "KWD")
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", TIMEOUT
    )
    await work.refund(1010)
    await no_differences(work)
    assert await wallet(work.contractor, "KWD") == (0, 0, 0, 0, -702)
    later = await earned(market, server, "KWD", 1000, work.contractor)
    await no_differences(later)
    assert await wallet(work.contractor, "KWD") == (6290, 8, 0, 0, 0)


async def test_a_transfer_under_way_is_reduced_beside_its_remainder(market, server):
    """Guard: `remainder_of` counts what no transfer has; a transfer that waits is no remainder."""
    work = await JobInProgress(market, server).start(12_350, currency="KWD", onboarded=False)
    await work.complete()
    await work.refund(1010)
    await no_differences(work)
    assert await wallet(work.contractor, "KWD") == (0, 7938, 0, 0, 0)
    await market.onboard(work.contractor)
    await no_differences(work)
    assert await wallet(work.contractor, "KWD") == (7930, 8, 0, 0, 0)


async def test_a_lost_chargeback_in_steps(dinars):
    """Guard: whole steps are held in `holds.change_of_hold`; money that is no multiple can be
    neither reversed nor withdrawn."""
    work = dinars
    chargeback = await work.open_chargeback(amount=1010)
    await no_differences(work)
    assert await wallet(work.contractor, "KWD") == (7930, 5, 710, 0, 0)
    await work.decide_chargeback(chargeback, won=False)
    await no_differences(work)
    assert await wallet(work.contractor, "KWD") == (7930, 8, 0, 0, 0)


async def test_a_remainder_does_not_keep_an_account_open(dinars, market):
    """Guard: `remainders` in `deletion.deletion_blockers`; without it 5 fils, which no transfer can
    carry, block the deletion for ever."""
    work = dinars
    await market.withdraw(work.contractor, 8640, "KWD")
    await work.contractor.push(
        "/wallet", "withdrawal.updated", lambda w: w["status"] == "paid", TIMEOUT
    )
    assert await wallet(work.contractor, "KWD") == (0, 5, 0, 0, 0)
    await work.contractor.call("/account", "delete", {"password": PASSWORD})
    await no_differences(work)
    rows = await market.rows(ledger.Transaction)
    [given_up] = [row for row in rows if row.kind == "remainder_given_up"]
    assert [(each.destination, each.amount) for each in given_up.postings] == [("platform", 5)]
