"""What the money of a wallet waits for."""

from typing import Any

from tests.support.job_in_progress import JobInProgress
from tests.support.market import Market
from tests.support.parties import Json, Party


async def waiting(party: Party) -> list[tuple[str, str, int]]:
    found: Json = await party.call("/wallet", "waiting")
    return [(each["kind"], each["reason"], each["amount"]) for each in found["items"]]


async def test_each_part_of_a_wallet_says_what_it_waits_for(market: Market, server: Any) -> None:
    """Guard: `waiting_money.waiting`; `account_state._setup_of` and `payout_state.payout_state`."""
    contractor = await market.contractor()
    work = await JobInProgress(market, server).start(contractor=contractor)
    await work.complete()
    assert await waiting(contractor) == [("transfer", "setup", 70_000)]
    [item] = (await contractor.call("/wallet", "waiting"))["items"]
    assert (item["job_title"], item["offer_id"]) == ("Paint the fence", work.offer["id"])
    assert (await contractor.call("/account", "payout_state"))["payout_setup"] == "none"
    await contractor.call("/account", "onboard")
    begun = await contractor.call("/account", "payout_state")
    assert begun["payout_setup"] == "started" and begun["payout_requirements"]
    await work.as_admin("freeze", user_id=contractor.id, reason="Looks odd")
    assert await waiting(contractor) == [("transfer", "frozen", 70_000)]
    await work.as_admin("unfreeze", user_id=contractor.id, reason="It is fine")
    await market.onboard(contractor)
    ready = await contractor.call("/account", "payout_state")
    assert (ready["payout_setup"], ready["payout_requirements"]) == ("done", [])
    await market.settled()
    assert await waiting(contractor) == []
    await market.sandbox.settings(payout_delay_seconds=30)
    await market.withdraw(contractor, 1000)
    await market.settled()
    assert await waiting(contractor) == [("withdrawal", "bank", 1000)]
