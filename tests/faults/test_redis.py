"""Redis is down while signed-in users continue: money moves, no event is lost."""

from tests.faults.outcome import PATIENCE, requests_to, until


async def test_redis_down_during_a_complete_deal(isolated_processes, books):
    """Guard: nothing about money waits for Redis: sockets stay open and accept commands, every
    event is in its feed; `Fanout.on_missed`, after which clients request what they missed.

    The two clients are on different processes, which cannot reach each other while Redis is down.
    """
    redis, market = await isolated_processes.redis(), isolated_processes.market
    first, second = await isolated_processes.web(), await isolated_processes.web()
    customer = await market.customer(url=first.url)
    contractor = await market.contractor(url=second.url, onboarded=True)
    people = (customer, contractor)
    await market.settled(PATIENCE)
    connections = [party.socket.eio.sid for party in people]
    since = {party: len(await synced(party, 0)) for party in people}
    for party in people:
        party.clear_pushes()

    await redis.kill()
    await run_deal(market, customer, contractor)
    assert (await books()).differences == []
    missed = {party: await synced(party, since[party]) for party in people}
    assert_notified_once(missed[customer], missed[contractor])
    assert not any(party.received("/account", "resync") for party in people)

    await isolated_processes.redis()
    for party in people:
        await party.push("/account", "resync", seconds=PATIENCE)
        assert await synced(party, since[party]) == missed[party]
        fed = [push for push in party.pushes if push.seq and push.namespace != "/chat"]
        live = [(push.seq, push.name, push.data) for push in fed]
        assert live == sorted(live, key=lambda push: push[0])
        assert {push[:2] for push in live} < {(item["seq"], item["name"]) for item in missed[party]}
    assert [party.socket.eio.sid for party in people] == connections

    async def ready():
        """Until the process reports its missed messages, a `resync` replaces its pushes."""
        asked = [await market.web.get(f"{each.url}/readyz") for each in (first, second)]
        return all(response.status == 200 for response in asked)

    await until(ready)
    job = await market.job(customer)  # from now on events reach both at once
    await market.application(contractor, job)
    await customer.push(
        "/job-request", "application.created", lambda made: made["job_id"] == job["id"], PATIENCE
    )
    report = await books()
    assert report.differences == []
    assert report.totals["platform"] == {"USD": 30_000}
    assert report.totals["world:bank"] == {"USD": 70_000}
    for path in ("payment_intents", "transfers", "payouts"):
        assert await requests_to(market, path) == 1


def assert_notified_once(customer, contractor):
    """The feeds contain each event of the deal once."""
    for items in (customer, contractor):
        names = [item["name"] for item in items]
        assert (names.count("offer.created"), names.count("offer.accepted")) == (1, 1)
        worked = states(items, "job.updated")
        assert (worked.count("in_progress"), worked.count("completed")) == (2, 1)
        assert worked[-1] == "completed"
    paid = states(contractor, "withdrawal.updated")
    assert (paid[0], paid.count("paid"), paid[-1]) == ("requested", 1, "paid")


def states(items, name):
    """The statuses of an object, by its version: two processes write the feed, in any order."""
    versions = [item["data"] for item in items if item["name"] == name]
    return [each["status"] for each in sorted(versions, key=lambda each: each["version"])]


async def synced(party, since):
    """The events that a client requests over its socket, without gaps."""
    answer = await party.call("/account", "sync", {"since": since, "limit": 500})
    numbers = [item["seq"] for item in answer["items"]]
    assert numbers == list(range(since + 1, answer["head"] + 1))
    return answer["items"]


async def run_deal(market, customer, contractor):
    """From the job to the payout, over the sockets; events that are normally pushed are read."""

    async def seen(party, namespace, event, fields, **wanted):
        async def reached():
            found = await party.call(namespace, event, fields)
            found = found["items"][0] if "items" in found else found
            return wanted.items() <= found.items()

        await until(reached)

    job = await market.job(customer)
    await market.application(contractor, job)
    made = await customer.call(
        "/bidding",
        "create",
        {
            "job_id": job["id"],
            "contractor_id": contractor.id,
            "amount": 100_000,
            "currency": "USD",
            "description": "Yours",
            "timeline_days": 3,
            "payment_method": "pm_card_visa",
        },
    )
    offer = {"offer_id": made["offer"]["id"]}
    await seen(customer, "/bidding", "get", offer, status="pending")
    await contractor.call("/bidding", "accept", offer)
    await seen(contractor, "/bidding", "get", offer, status="accepted")
    await market.start(contractor, job)
    await market.deliver(contractor, job)
    await market.complete(customer, job)
    await seen(contractor, "/wallet", "balance", {}, available=70_000)
    await market.withdraw(contractor, 70_000)
    await seen(contractor, "/wallet", "withdrawals", {}, status="paid")
    await market.settled(PATIENCE)
